/**
 * The agent's page: the phone on one side, the conversation with its translation on the other.
 *
 *   phone ─ line, ringing, end ─▶ page ◀─ calls, legs, words ─ feed
 *   click or key ─▶ command ─▶ controls ─▶ server
 *
 * The phone knows the SIP session of this browser only. The other parties, hold and mute come from the server's events, and the
 * server's record of the call explains an end that the phone cannot.
 */
import * as api from "../api.js";
import { type Call, isRunning, ownCall, translationNotice } from "../calls.js";
import { setText } from "../dom.js";
import { Feed } from "../feed.js";
import { BUDGET_MS } from "../lag.js";
import { Latest } from "../latest.js";
import { ListeningBar } from "../listeningbar.js";
import { answerText, microphoneText, microphoneWords, stopTracks } from "../microphone.js";
import { dialTarget } from "../numbers.js";
import { ProviderBar } from "../providerbar.js";
import { RecordingBar } from "../recordingbar.js";
import { SentenceList } from "../sentences.js";
import { may, mayHear } from "../session.js";
import { fields } from "../shapes.js";
import { type Shell, shell } from "../shell.js";
import { start } from "../start.js";
import { read, write } from "../storage.js";
import { duration, languageName } from "../words.js";
import { CallView, shortcutHelp } from "./callview.js";
import { Controls } from "./controls.js";
import type { Entry } from "./directory.js";
import { endText } from "./endings.js";
import { type Flow, watchFlow } from "./flow.js";
import type { Parked } from "./parked.js";
import { ParkedList } from "./parkedlist.js";
import { choices, joinNames, ownLeg, type Party, parties } from "./parties.js";
import { type Line, Phone, type Registration } from "./phone.js";
import { Picker } from "./picker.js";
import { ring, ringback } from "./ring.js";
import { type Command, commandOf } from "./shortcuts.js";
import { Sound } from "./sound.js";
import { parkedPickup } from "./verbs.js";
import { type AgentView, agentView } from "./view.js";

const TITLE = "Phone · Tandem";
const LETTERS = "tandem.shortcuts";
/** Time after the end of a call during which the server's reason is awaited. */
const EXPLAINED_MS = 10_000;
/** Header of the INVITE to an agent who picks up a parked call; its value is the id of that call. */
const PICKUP = "Tandem-Picks-Up";
/** A picked-up call must ring this page's phone within this time. */
const PICKUP_MS = 10_000;

/** Opens the agent's page. */
async function agentPage(): Promise<void> {
  const frame = await shell("agent");
  if (frame) new AgentPage(frame).start();
}

class AgentPage {
  private readonly view: AgentView;
  private readonly feed = new Feed(
    () => this.drawWords(),
    (kind, data) => this.onEvent(kind, data),
  );
  private readonly controls = new Controls({ onChange: () => this.drawCall(), onProblem: (text) => setText(this.callView.problem, text) });
  private readonly callView = new CallView({
    onCommand: (command) => this.command(command),
    onHold: (leg, on) => this.hold([leg], on),
    onRemove: (leg) => this.running && this.controls.remove(this.running.id, leg),
    onCallOff: () => this.callOff(),
  });
  private readonly picker = new Picker(() => this.me, {
    onTransfer: (entry) => this.transfer(entry),
    onConsult: (entry) => this.consult(entry),
    onAdd: (entry) => this.running && this.controls.add(this.running.id, entry),
  });
  private readonly parkedList = new ParkedList({
    onChange: () => this.drawCall(),
    onPickUp: (parked) => void this.pickUp(parked),
    me: () => this.me,
    nameOf: (name) => this.picker.nameOf(name),
  });
  private readonly recordings = new RecordingBar({
    allowed: true,
    refresh: async (call) => (mayHear(this.frame.session) ? this.feed.fetchRecordings(call) : undefined),
  });
  private readonly listening = new ListeningBar({
    allowed: true,
    sides: [["agent", "You"]],
    id: "listening",
    onListening: (call, listening) => this.feed.setListening(call, listening),
  });
  private readonly sound = new Sound(() => this.drawSound());
  private readonly phone: Phone;
  private readonly tones = { ring: ring(), ringback: ringback() };
  private readonly words: SentenceList;
  private readonly providers = new ProviderBar();
  private readonly says = new Latest();
  private stopFlow: (() => void) | undefined;
  private flash: ReturnType<typeof setInterval> | undefined;
  private clock: ReturnType<typeof setInterval> | undefined;
  private notification: Notification | undefined;
  private registration: { state: Registration; text: string } = { state: "connecting", text: "Connecting" };
  /** The call that has ended and for which the server has not recorded a reason yet. */
  private unexplained: { call: string; leg: number | undefined; until: number } | undefined;
  /** Whether waiting parties hear music. */
  private music = false;
  /** The call that is being parked from this page, and its slot once the server has answered. */
  private parking: { name: string; slot: number | undefined } | undefined;
  /** The parked call that is being picked up, and the microphone for it. */
  private pickingUp: { call: string; microphone: MediaStream; timer: ReturnType<typeof setTimeout> } | undefined;
  /** The user's role in the call whose words are shown. */
  private ownRole = "agent";
  /** The user's leg in the running call, as last reported. */
  private ownLeg: number | undefined;
  /** The running call as the server has reported it, and its parties. */
  private running: Call | undefined;
  private party: Party[] = [];
  /** The call whose words are shown; kept after its end until the next call starts. */
  private call: Call | undefined;

  constructor(private readonly frame: Shell) {
    this.view = agentView(this.callView);
    frame.main.replaceChildren(this.view.root);
    this.view.picker.replaceWith(this.picker.element);
    this.view.recordings.replaceWith(this.recordings.element);
    this.recordings.element.after(this.listening.element);
    this.view.parked.replaceWith(this.parkedList.element);
    this.view.shortcuts.replaceWith(shortcutHelp(this.letters, (on) => this.switchLetters(on)));
    this.view.providers.replaceWith(this.providers.element);
    this.words = new SentenceList(this.view.sentences, (leg) => (leg === this.ownRole ? "You" : "Other side"));
    this.phone = new Phone(
      {
        onRegistration: (state, text) => this.drawRegistration(state, text),
        onLine: (line) => this.drawLine(line),
        onEnded: (text, ours) => this.onEnded(text, ours),
        onRinging: (what) => void this.playTone(what),
        answersWith: (header) => this.answersWith(header(PICKUP)),
        onTakeBack: () => this.sound.open(),
      },
      this.view.remote,
    );
  }

  start(): void {
    this.wire();
    for (const output of [this.view.remote, this.tones.ring.element, this.tones.ringback.element]) this.sound.attach(output);
    this.drawLine(this.phone.line);
    this.drawNotifications();
    void this.sound.start();
    void this.phone.start();
    this.feed.start();
    this.parkedList.start();
    void this.picker.load();
    if (may(this.frame.session, "voice.read")) void this.loadHandling();
  }

  /** Loads whether waiting parties hear music or a soft tone. */
  private async loadHandling(): Promise<void> {
    const handling = await api.callHandling().catch(() => undefined);
    this.music = handling !== undefined && handling.holdMusic !== null;
    this.drawCall();
  }

  private wire(): void {
    const { view } = this;
    view.answer.addEventListener("click", () => void this.answer());
    view.decline.addEventListener("click", () => this.phone.hangup());
    view.hangup.addEventListener("click", () => this.phone.hangup());
    view.dialForm.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.dial();
    });
    view.sayForm.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.say();
    });
    view.keys.addEventListener("click", (event) => {
      const key = event.target instanceof Element ? event.target.closest<HTMLElement>(".key") : null;
      if (key?.dataset["digit"]) this.press(key.dataset["digit"]);
    });
    document.addEventListener("keydown", (event) => this.key(event));
    view.allow.addEventListener("click", () => void this.sound.ask());
    view.microphone.addEventListener("change", () => void this.changeMicrophone());
    view.speaker.addEventListener("change", () => this.sound.chooseSpeaker(view.speaker.value));
    view.notify.addEventListener("click", () => void Notification.requestPermission().then(() => this.drawNotifications()));
    window.addEventListener("beforeunload", (event) => {
      if (this.phone.line.phase !== "idle") event.preventDefault();
    });
    window.addEventListener("online", () => this.phone.networkChanged());
    window.addEventListener("pagehide", () => this.phone.stop());
    // The page was restored from the browser's cache, with all its connections closed.
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) location.reload();
    });
  }

  private async answer(): Promise<void> {
    const { view, sound } = this;
    view.answer.disabled = true;
    setText(view.answerProblem, sound.state === "prompt" ? "Allow the microphone when your browser asks, and the call is connected." : "");
    const stream = await sound.open();
    view.answer.disabled = false;
    setText(view.answerProblem, stream ? "" : answerText(sound.state));
    if (stream) this.phone.answer(stream);
  }

  private get me(): string {
    return this.phone.username || this.frame.session.sipName;
  }

  /** Whether single-letter shortcuts are switched on. */
  private get letters(): boolean {
    return read(LETTERS) !== "off";
  }

  private switchLetters(on: boolean): void {
    write(LETTERS, on ? "on" : "off");
  }

  private key(event: KeyboardEvent): void {
    if (document.querySelector("dialog[open]")) return;
    const typing = event.target instanceof HTMLElement && event.target.closest("input:not([type=checkbox]), textarea, select") !== null;
    const command = commandOf(event, this.phone.line.phase, { typing, letters: this.letters });
    if (command) {
      event.preventDefault();
      this.command(command);
    } else if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey && /^[0-9*#]$/.test(event.key)) this.press(event.key);
  }

  private command(command: Command): void {
    const { phase } = this.phone.line;
    const { heldLegs, openLegs, held, consulting, others } = choices(this.party);
    switch (command) {
      case "answer":
        if (phase === "incoming" && !this.view.answer.disabled) void this.answer();
        return;
      case "hangup":
        this.phone.hangup();
        return;
      case "mute":
        this.mute();
        return;
      case "keypad":
        this.view.keypad.open = !this.view.keypad.open;
        return;
      case "help":
        this.showKeys();
        return;
      case "hold":
        if (held) this.hold(heldLegs, false);
        else this.hold(openLegs, true);
        return;
      case "swap":
        if (!consulting) return;
        this.hold(openLegs, true);
        this.hold(heldLegs, false);
        return;
      case "merge":
        if (consulting) this.hold(heldLegs, false);
        return;
      case "complete":
        if (others > 1 && !this.controls.transferring) this.leave();
        return;
      case "record":
        this.recordings.toggle();
        return;
      case "park":
        if (others > 0 && !this.controls.transferring) this.park();
        return;
      case "parked":
        this.parkedList.focus();
        return;
      case "transfer":
      case "add":
        if (others === 0 || this.controls.transferring) return;
        if (this.picker.purpose === command) this.picker.close();
        else this.picker.open(command);
        this.drawCall();
        return;
    }
  }

  private showKeys(): void {
    const keys = document.querySelector<HTMLDetailsElement>("#shortcuts");
    if (keys) keys.open = !keys.open;
    if (keys?.open) keys.scrollIntoView({ block: "nearest" });
  }

  /** Mutes this browser at once, so that nothing more is sent, and then reports it to the server, which shows it to everybody. */
  private mute(): void {
    const { line } = this.phone;
    if (line.phase !== "active") return;
    const muted = !this.isMuted();
    this.phone.mute(muted);
    const mine = this.mine();
    if (this.running && mine) this.controls.set(this.running.id, mine.leg, "muted", muted);
  }

  /** Whether the user is muted, by this browser or by the server. */
  private isMuted(): boolean {
    return this.phone.line.muted || this.party.some((party) => party.me && party.state === "muted");
  }

  private mine(): { leg: number } | undefined {
    return this.party.find((party) => party.me);
  }

  private hold(legs: readonly number[], on: boolean): void {
    const call = this.running;
    if (call) for (const leg of legs) this.controls.set(call.id, leg, "held", on);
  }

  private transfer(entry: Entry): void {
    const mine = this.mine();
    if (this.running && mine) this.controls.transfer(this.running.id, mine.leg, entry);
  }

  /** Puts the others on hold and calls `entry`, so that the user can ask first. */
  private consult(entry: Entry): void {
    if (!this.running) return;
    this.hold(choices(this.party).openLegs, true);
    this.controls.add(this.running.id, entry);
  }

  private park(): void {
    const mine = this.mine();
    if (!this.running || !mine || this.parking) return;
    const names = this.party.filter(({ me, state }) => !me && state !== "ringing" && state !== "listening").map(({ name }) => name);
    const parking = { name: joinNames(names), slot: undefined as number | undefined };
    this.parking = parking;
    this.controls.park(this.running.id, mine.leg, {
      onSlot: (slot) => {
        parking.slot = slot;
        void this.parkedList.refresh();
        // The phone's call may have ended before the server answered.
        if (this.parking !== parking && this.phone.line.phase === "idle") setText(this.view.message, parkedMessage(parking));
      },
      refused: () => (this.parking = undefined),
    });
  }

  /** Has the server ring this page's phone for a parked call; the phone answers by itself. */
  private async pickUp({ call, slot }: Parked): Promise<void> {
    if (this.phone.line.phase !== "idle" || this.pickingUp) return;
    this.parkedList.pick(slot);
    const microphone = await this.sound.open();
    if (!microphone) return this.parkedList.pick(undefined, answerText(this.sound.state));
    const late = (): void => this.dropPickUp("The call did not reach your phone. Try again.");
    this.pickingUp = { call, microphone, timer: setTimeout(late, PICKUP_MS) };
    try {
      await parkedPickup(slot);
    } catch (error) {
      this.dropPickUp(error instanceof Error ? error.message : "The call could not be picked up.");
    }
    void this.parkedList.refresh();
  }

  private dropPickUp(problem: string): void {
    clearTimeout(this.pickingUp?.timer);
    stopTracks(this.pickingUp?.microphone);
    this.pickingUp = undefined;
    this.parkedList.pick(undefined, problem);
  }

  /** Returns the microphone if the incoming call is the one that is being picked up here; `undefined` lets it ring. */
  private answersWith(call: string | undefined): MediaStream | undefined {
    const { pickingUp } = this;
    if (!pickingUp || call !== pickingUp.call) return undefined;
    clearTimeout(pickingUp.timer);
    this.pickingUp = undefined;
    this.parkedList.pick(undefined);
    return pickingUp.microphone;
  }

  /** Leaves the call; the others, including those on hold, keep talking with each other. */
  private leave(): void {
    const names = this.party.filter(({ me, state }) => !me && state !== "ringing" && state !== "listening").map(({ name }) => name);
    this.phone.hangup();
    setText(this.view.message, `You left the call. ${joinNames(names)} keep talking.`);
  }

  /** Cancels the transfer by hanging up the target, who is still ringing. */
  private callOff(): void {
    const heir = this.party.find(({ state }) => state === "ringing");
    if (this.running && heir) this.controls.takeBack(this.running.id, heir.leg);
  }

  /** Handles an event of the stream. */
  private onEvent(kind: string, data: unknown): void {
    this.parkedList.onEvent(kind);
    if (this.running && fields(data)["call_id"] === this.running.id)
      this.controls.onEvent(kind, data, this.ownLeg, (peer) => this.picker.nameOf(peer) ?? peer);
  }

  private drawCall(): void {
    const call = this.phone.line.phase === "active" ? this.running : undefined;
    const actual = this.feed.legs(call?.id ?? "");
    const legs = this.controls.withWishes(actual);
    const { transferring } = this.controls;
    const { music } = this;
    this.party = parties(
      legs,
      { me: this.me, of: (peer) => this.picker.nameOf(peer), music, parked: this.parkedList.find(call?.id ?? "") },
      transferring?.leg,
    );
    this.ownLeg = this.mine()?.leg ?? this.ownLeg;
    this.callView.draw({
      known: this.party.some(({ me }) => me),
      parties: this.party,
      choices: choices(this.party),
      muted: this.isMuted(),
      waiting: this.controls.waiting(actual).map(({ name }) => name),
      transferring: transferring?.name,
      music,
      picking: this.picker.purpose,
    });
    for (const one of [this.callView.parties, this.callView.controls]) one.hidden = this.phone.line.phase !== "active";
    if (call && mayHear(this.frame.session)) this.feed.followRecordings(call.id);
    const listens = call && isRunning(call) && this.ownRole === "agent";
    this.listening.draw(call?.id ?? "", listens ? this.feed.listening(call.id) : undefined);
    this.recordings.draw({
      call: call?.id ?? "",
      recordings: this.feed.recordings(call?.id ?? "") ?? [],
      talks: call?.status === "answered" || call?.status === "bridged",
    });
    const { consulting, others } = choices(this.party);
    // Leaving a consultation connects the others, and the button for that has its own label.
    this.view.hangup.hidden = consulting && transferring === undefined;
    setText(this.view.hangup.querySelector("span") ?? this.view.hangup, others > 1 ? "Leave the call" : "Hang up");
  }

  /** Shows how the call ended; the server's record may explain more as soon as it arrives. */
  private onEnded(text: string, ours: boolean): void {
    const { transferring } = this.controls;
    const transferred = transferring !== undefined && transferring.leg === this.ownLeg && !ours;
    const parked = ours ? undefined : this.parking;
    this.parking = undefined;
    const ended = transferred ? `The call was transferred to ${transferring.name}.` : parked ? parkedMessage(parked) : text;
    this.controls.reset();
    setText(this.view.message, ended);
    const leg = this.ownLeg;
    this.unexplained =
      ours || transferred || parked || !this.call ? undefined : { call: this.call.id, leg, until: Date.now() + EXPLAINED_MS };
    this.ownLeg = undefined;
    this.drawWords();
  }

  private explainEnd(): void {
    const { call: id = "", leg = 0, until = 0 } = this.unexplained ?? {};
    const call = this.feed.calls.get(id);
    // The call may continue without this user, who is then not interested in its end.
    if (Date.now() >= until) this.unexplained = undefined;
    if (!call || !this.unexplained) return;
    const recorded = endText(this.feed.legs(id).get(leg)?.ending?.cause ?? null, isRunning(call) ? null : call.ended_reason);
    if (!recorded && isRunning(call)) return;
    this.unexplained = undefined;
    if (recorded && this.phone.line.phase === "idle") setText(this.view.message, recorded);
  }

  private async dial(): Promise<void> {
    // A number typed while a call comes in stays in the field and can be dialled afterwards.
    if (this.phone.line.phase !== "idle") return setText(this.view.message, "Answer or decline the incoming call first.");
    const dialled = dialTarget(this.view.dialInput.value, this.phone.domain);
    setText(this.view.message, dialled.ok ? "" : dialled.problem);
    if (!dialled.ok) return this.view.dialInput.focus();
    this.view.dial.disabled = true;
    const stream = await this.sound.open();
    this.drawDial();
    if (stream) this.phone.dial(dialled.target, stream);
    else setText(this.view.message, `You cannot call yet. ${microphoneText(this.sound.state)}`);
  }

  private press(digit: string): void {
    if (this.phone.line.phase === "active") {
      this.phone.press(digit);
      this.view.pressed.textContent = (this.view.pressed.textContent + digit).slice(-24);
    }
  }

  private async changeMicrophone(): Promise<void> {
    this.sound.chooseMicrophone(this.view.microphone.value);
    if (this.phone.line.phase !== "active") return;
    const stream = await this.sound.open();
    if (stream) await this.phone.replaceMicrophone(stream);
  }

  private async say(): Promise<void> {
    const text = this.view.sayInput.value.trim();
    const call = this.call;
    if (text === "" || !call) return;
    const wanted = this.says.begin();
    setText(this.view.sayProblem, "");
    this.view.sayInput.value = "";
    try {
      await api.say(call.id, text);
    } catch (error) {
      // The text returns to the field unless the user has typed something new.
      if (this.view.sayInput.value === "") this.view.sayInput.value = text;
      if (wanted()) setText(this.view.sayProblem, error instanceof Error ? error.message : "The text was not sent.");
    }
  }

  /** Shows the registration; without a microphone the phone is not ready even if it is registered. */
  private drawRegistration(state = this.registration.state, text = this.registration.text): void {
    this.registration = { state, text };
    const words = state === "registered" ? microphoneWords(this.sound.state) : "";
    this.view.registration.dataset["state"] = words ? "blocked" : state;
    setText(this.view.registration, words || text);
    this.drawDial();
  }

  private drawDial(): void {
    this.view.dial.disabled = this.registration.state !== "registered" || this.phone.line.phase !== "idle";
  }

  private drawLine(line: Line): void {
    const { view } = this;
    const { phase } = line;
    view.state.dataset["state"] = phase;
    setText(view.state, { idle: "No call", incoming: "Incoming call", calling: "Calling", active: "In call" }[phase]);
    setText(view.peer, line.peer);
    setText(view.incomingPeer, line.peer);
    view.incoming.hidden = phase !== "incoming";
    view.ongoing.hidden = phase !== "calling" && phase !== "active";
    // The form stays while the phone rings, so that the user can go on typing.
    view.dialForm.hidden = phase !== "idle" && phase !== "incoming";
    this.drawDial();
    this.parkedList.allow(phase === "idle");
    view.keypad.hidden = phase !== "active";
    if (phase === "active" && line.since) this.startClock(line.since);
    else this.stopClock();
    if (phase !== "idle") setText(view.message, "");
    if (phase !== "incoming") setText(view.answerProblem, "");
    if (phase === "idle") {
      this.stopFlow?.();
      this.stopFlow = undefined;
      this.picker.close();
      view.pressed.textContent = "";
      this.drawFlow(undefined);
    } else if (phase === "active") {
      void this.picker.load();
      this.stopFlow ??= watchFlow(
        () => this.phone.connection,
        (flow) => this.drawFlow(flow),
      );
    }
    this.frame.keepPage(phase === "idle" ? undefined : () => this.phone.hangup());
    this.alarm(phase === "incoming" ? line.peer : undefined);
    this.drawSound();
    this.drawWords();
  }

  private startClock(since: number): void {
    this.stopClock();
    const tick = (): void => setText(this.view.timer, duration(Date.now() - since));
    tick();
    this.clock = setInterval(tick, 1000);
  }

  private stopClock(): void {
    clearInterval(this.clock);
    setText(this.view.timer, "");
  }

  /** Announces an incoming call in the title and a notification, for users in another tab. */
  private alarm(peer: string | undefined): void {
    clearInterval(this.flash);
    this.notification?.close();
    this.notification = undefined;
    document.title = TITLE;
    if (peer === undefined) return;
    let on = false;
    const blink = (): void => {
      on = !on;
      document.title = on ? `Call from ${peer}` : TITLE;
    };
    blink();
    this.flash = setInterval(blink, 1000);
    if ("Notification" in window && Notification.permission === "granted" && document.hidden) {
      this.notification = new Notification("Incoming call", {
        body: peer,
        tag: "tandem-call",
        icon: "/favicon.svg",
        requireInteraction: true,
      });
      this.notification.addEventListener("click", () => window.focus());
    }
  }

  private async playTone(what: "ring" | "ringback" | "none"): Promise<void> {
    this.tones.ring.stop();
    this.tones.ringback.stop();
    this.view.unheard.hidden = true;
    if (what !== "none" && !(await this.tones[what].start()) && this.phone.line.phase === "incoming") this.view.unheard.hidden = false;
  }

  private drawFlow(flow: Flow | undefined): void {
    const { view } = this;
    for (const [meter, level] of [
      [view.levelIn, flow?.levelIn ?? 0],
      [view.levelOut, flow?.levelOut ?? 0],
    ] as const) {
      meter.setAttribute("aria-valuenow", String(level));
      meter.style.setProperty("--level", `${level}%`);
    }
    setText(view.flowDetail, flow?.detail ?? "");
    // Silence is expected while every other party is on hold.
    const { others, openLegs } = choices(this.party);
    const expected = (others === 0 || openLegs.length > 0) && this.controls.transferring === undefined;
    const problem =
      !flow || this.phone.line.phase !== "active"
        ? ""
        : !flow.arriving && expected
          ? "No sound is arriving from the other side."
          : !flow.leaving
            ? "Your sound is not leaving this browser. Check the network."
            : "";
    setText(view.flowProblem, problem);
  }

  private drawSound(): void {
    this.view.drawSound(this.sound);
    this.drawRegistration();
  }

  private drawNotifications(): void {
    this.view.notify.hidden = !("Notification" in window) || Notification.permission !== "default";
  }

  private drawWords(): void {
    this.frame.connection(this.feed.state);
    this.providers.draw(this.feed.providers);
    this.explainEnd();
    const running = ownCall(this.feed.calls, this.me, (id) => ownLeg(this.feed.legs(id), this.me) !== undefined);
    this.running = running;
    if (running && running.id !== this.call?.id) this.ownRole = "agent";
    if (running) this.call = running;
    else if (this.call) this.call = this.feed.calls.get(this.call.id) ?? this.call;
    const { view, call } = this;
    if (call) this.feed.follow(call.id);
    this.drawCall();
    // An agent who was called by a colleague has the customer's role.
    if (call) this.ownRole = ownLeg(this.feed.legs(call.id), this.me)?.role ?? this.ownRole;
    if (view.sentences.dataset["mine"] !== this.ownRole) this.words.rename();
    view.sentences.dataset["mine"] = this.ownRole;
    const sentences = this.feed.sentences(call?.id ?? "");
    const config = call?.config;
    this.words.draw(sentences, config?.budget_ms ?? BUDGET_MS);
    const notice = config ? translationNotice(config) : undefined;
    setText(view.notice, notice ?? "");
    view.notice.hidden = notice === undefined;
    view.empty.hidden = sentences.size > 0 || notice !== undefined;
    const listening = this.feed.listening(call?.id ?? "");
    const theirs = listening?.customer.language ?? config?.translate_from ?? "en";
    const mine = listening?.agent.language ?? config?.translate_to ?? "es";
    setText(
      view.empty,
      running
        ? "Listening. Words appear here as they are spoken."
        : "During a call, the other side's words appear here with their translation.",
    );
    setText(view.sayLabel, `Type in ${languageName(mine)}; it is spoken in ${languageName(theirs)}`);
    view.sayInput.lang = mine;
    const possible = running !== undefined && config?.live_translate === true;
    view.sayInput.disabled = !possible;
    view.saySend.disabled = !possible;
  }
}

function parkedMessage({ name, slot }: { name: string; slot: number | undefined }): string {
  return slot === undefined ? `The call with ${name} is parked.` : `The call with ${name} is parked in slot ${slot}.`;
}

start(agentPage);
