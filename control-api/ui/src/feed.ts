/**
 * The live state that the pages follow, from one event stream: calls, legs, sentences, recordings, providers.
 *
 *   /api/events?translations=true ─▶ calls, legs, sentences, recordings, slots of parked calls, providers ─▶ onChange
 *   /api/calls, /api/calls/{id}, /api/providers, /api/calls/{id}/translations ─▶ the state before the stream began
 *
 * The stream is opened first and the state is fetched once it is live. Changes in between arrive twice, which the reducers allow.
 * An answer that is older than an event which arrived meanwhile is fetched again. After a gap everything followed is fetched again.
 */
import { isTransient } from "./amd/state.js";
import * as api from "./api.js";
import { applyCallEvent, applyList, type Call, type CallEvent, type Calls, isRunning, NO_CALLS } from "./calls.js";
import { Latest } from "./latest.js";
import { applyLegEvent, type Legs, NO_LEGS } from "./legs.js";
import { type Listening, parseListening } from "./listening.js";
import { applyProvider, NO_PROVIDERS, type Providers, parseProvider } from "./providers.js";
import { applyRecordingEvent, type Recording } from "./recordings.js";
import { fields, number, text } from "./shapes.js";
import type { SseMessage } from "./sse.js";
import { openStream, type StreamState } from "./stream.js";
import { applyEvent, applySnapshot, isTranslationEvent, NO_SENTENCES, parseTranslation, type Sentences } from "./translations.js";

/** The changes since the last call of `onChange`. */
export interface News {
  /** Whether the list has changed: a call was added, or its status has changed. */
  list: boolean;
  /** Ids of the calls with any change: status, legs, words. */
  calls: Set<string>;
}

const NO_NEWS = (): News => ({ list: false, calls: new Set() });

/** The state that the stream and the fetches have brought so far. */
export class Feed {
  calls: Calls = NO_CALLS;
  providers: Providers = NO_PROVIDERS;
  state: StreamState = "connecting";
  private readonly words = new Map<string, Sentences>();
  private readonly media = new Map<string, Legs>();
  /** Number of events of each call's legs so far, to detect events that a fetched list may have missed. */
  private readonly mediaHeard = new Map<string, number>();
  private readonly sounds = new Map<string, readonly Recording[]>();
  private readonly soundLists = new Map<string, Latest>();
  private readonly slots = new Map<string, number>();
  private readonly listeners = new Map<string, Listening>();
  private readonly snapshots = new Map<string, Latest>();
  private readonly legLists = new Map<string, Latest>();
  private readonly lists = new Latest();
  private arrivals = 0;
  private providersHeard = 0;
  private scheduled = false;
  private drawnAt = 0;
  private news: News = NO_NEWS();

  /** `onEvent` also receives every event of the stream. `pauseMs`: minimum time between two calls of `onChange`. */
  constructor(
    private readonly onChange: (news: News) => void,
    private readonly onEvent: (name: string, data: unknown) => void = () => undefined,
    private readonly pauseMs = 0,
  ) {}

  /** Opens the stream; the state follows once it is live. */
  start(): void {
    openStream("/api/events?translations=true", {
      onMessage: (message) => this.handle(message),
      onState: (state) => {
        this.state = state;
        if (state === "live") this.refresh();
        this.changed();
      },
      onUnauthorized: api.toLogin,
    });
  }

  /** Returns the sentences of a call that are known so far. */
  sentences(call: string): Sentences {
    return this.words.get(call) ?? NO_SENTENCES;
  }

  /** Returns the legs of a call that are known so far. */
  legs(call: string): Legs {
    return this.media.get(call) ?? NO_LEGS;
  }

  /** Returns a call's recordings; `undefined` before the first event or answer. */
  recordings(call: string): readonly Recording[] | undefined {
    return this.sounds.get(call);
  }

  /** Returns how the sides of a call listen; `undefined` while unknown, or if the call is not translated. */
  listening(call: string): Listening | undefined {
    return this.listeners.get(call);
  }

  /** Takes how the sides of a call listen, as the server has answered. */
  setListening(call: string, listening: Listening): void {
    this.listeners.set(call, listening);
    this.changed(call);
  }

  /** Returns the slot in which a call is parked, if it is. */
  slot(call: string): number | undefined {
    return this.slots.get(call);
  }

  /** Fetches the slots of parked calls; events keep them up to date. */
  async fetchSlots(): Promise<void> {
    const slots = await api.parkedSlots().catch(() => undefined);
    if (!slots) return;
    const calls = new Set([...this.slots.keys(), ...slots.keys()]);
    this.slots.clear();
    for (const [call, slot] of slots) this.slots.set(call, slot);
    for (const call of calls) this.changed(call);
  }

  /** Fetches a call's recordings unless that was done before, and again after each gap. */
  followRecordings(call: string): void {
    if (!this.soundLists.has(call)) void this.fetchRecordings(call);
  }

  /** Fetches a call's recordings. */
  async fetchRecordings(call: string): Promise<void> {
    let latest = this.soundLists.get(call);
    if (!latest) {
      latest = new Latest();
      this.soundLists.set(call, latest);
    }
    const wanted = latest.begin();
    try {
      const recordings = await api.recordingList(call);
      if (!wanted()) return;
      this.sounds.set(call, recordings);
      this.changed(call);
    } catch {
      // Users who may not hear recordings know of them by events only.
    }
  }

  /** Fetches the words and legs of a call unless that was done before, and again after each gap. */
  follow(call: string): void {
    if (this.snapshots.has(call)) return;
    const latest = new Latest();
    this.snapshots.set(call, latest);
    void this.snapshot(call, latest);
    void this.fetchListening(call);
    this.followLegs(call);
  }

  /** Fetches only the legs of a call, as `follow` does. */
  followLegs(call: string): void {
    if (!this.legLists.has(call)) void this.fetchLegs(call);
  }

  private async fetchLegs(call: string): Promise<void> {
    let latest = this.legLists.get(call);
    if (!latest) {
      latest = new Latest();
      this.legLists.set(call, latest);
    }
    const wanted = latest.begin();
    const heard = this.mediaHeard.get(call);
    try {
      const { legs, recordings } = await api.legList(call, () => this.legs(call));
      if (!wanted()) return;
      // An event that arrived meanwhile is newer than this answer: fetch again.
      if (heard !== this.mediaHeard.get(call)) return void this.fetchLegs(call);
      this.media.set(call, legs);
      if (!this.sounds.has(call)) this.sounds.set(call, recordings);
      this.changed(call);
    } catch {
      // Events report the legs as well, and they are fetched again after the next gap or reconnection.
    }
  }

  /** Fetches a call that the list does not have, such as one from a link; returns whether it exists. */
  async fetchCall(id: string): Promise<boolean> {
    try {
      this.calls = applyList(this.calls, [await api.callShow(id)]);
      this.changedList([id]);
      return true;
    } catch {
      return false;
    }
  }

  /** Fetches how the sides of a translated call listen, unless an event has told it. */
  private async fetchListening(call: string): Promise<void> {
    const known = this.calls.get(call);
    if (!known?.config.live_translate || !isRunning(known)) return;
    // A call whose translation has not begun has no answer; an event follows.
    const listening = await api.listeningShow(call).catch(() => undefined);
    if (listening && !this.listeners.has(call)) this.setListening(call, listening);
  }

  private async snapshot(call: string, latest: Latest): Promise<void> {
    const wanted = latest.begin();
    try {
      const events = await api.translationList(call);
      if (!wanted()) return;
      this.words.set(call, applySnapshot(this.sentences(call), events));
      this.changed(call);
    } catch {
      // Fetched again when the stream is back.
      if (wanted()) this.snapshots.delete(call);
    }
  }

  private refresh(): void {
    const wanted = this.lists.begin();
    api.callList().then(
      (list) => {
        if (!wanted()) return;
        this.calls = applyList(this.calls, list);
        this.changedList(list.map(({ id }) => id));
      },
      (error: unknown) => {
        if (error instanceof api.ApiError && error.status === 401) api.toLogin();
      },
    );
    this.refreshProviders(wanted);
    for (const [call, latest] of this.snapshots) void this.snapshot(call, latest);
    for (const call of this.legLists.keys()) void this.fetchLegs(call);
    for (const call of this.soundLists.keys()) void this.fetchRecordings(call);
  }

  private refreshProviders(wanted: () => boolean): void {
    const heard = this.providersHeard;
    api.providerList().then(
      (list) => {
        if (!wanted()) return;
        // An event that arrived meanwhile is newer than this answer: fetch again.
        if (heard !== this.providersHeard) return this.refreshProviders(wanted);
        this.providers = list.reduce(applyProvider, NO_PROVIDERS);
        this.changed();
      },
      () => undefined,
    );
  }

  private handle(message: SseMessage): void {
    let data: unknown;
    try {
      data = JSON.parse(message.data);
    } catch {
      return;
    }
    this.onEvent(message.event, data);
    const call = (data as { call_id?: unknown } | null)?.call_id;
    if (isTranslationEvent(message.event)) this.handleWords(data);
    else if (message.event === "provider") {
      const provider = parseProvider(data);
      if (provider) this.providers = applyProvider(this.providers, provider);
      this.providersHeard += 1;
    } else if (message.event === "gap") this.refresh();
    else if (/^call(\.(created|status|joined))?$/.test(message.event)) this.handleCall(data as CallEvent);
    else if (/^call\.(leg|flow|quality|seat|amd|active_speaker)$/.test(message.event)) this.handleLeg(message.event, data);
    else if (message.event === "call.recording") this.handleRecording(data);
    else if (/^call\.(un)?parked$/.test(message.event)) this.handleSlot(message.event, data);
    else if (message.event === "call.listening") this.handleListening(data);
    else return;
    this.changed(typeof call === "string" ? call : undefined);
  }

  private handleRecording(data: unknown): void {
    const call = text(fields(data)["call_id"]);
    if (call === null) return;
    this.sounds.set(call, applyRecordingEvent(this.recordings(call) ?? [], "call.recording", data));
    // Events do not contain the recorded parties, and an answer on its way may be older than this event.
    if (this.soundLists.has(call)) void this.fetchRecordings(call);
  }

  private handleListening(data: unknown): void {
    const [call, listening] = [text(fields(data)["call_id"]), parseListening(data)];
    if (call !== null && listening) this.listeners.set(call, listening);
  }

  private handleSlot(kind: string, data: unknown): void {
    const [call, slot] = [text(fields(data)["call_id"]), number(fields(data)["slot"])];
    if (call === null) return;
    if (kind === "call.parked" && slot !== null) this.slots.set(call, slot);
    else this.slots.delete(call);
  }

  private handleLeg(kind: string, data: unknown): void {
    const call = (data as { call_id?: unknown } | null)?.call_id;
    if (typeof call !== "string") return;
    this.media.set(call, applyLegEvent(this.legs(call), kind, data));
    // A fetched list does not have the sound that a detection hears, so it cannot be older than that.
    if (kind === "call.amd" && isTransient(data)) return;
    this.mediaHeard.set(call, (this.mediaHeard.get(call) ?? 0) + 1);
  }

  private handleWords(data: unknown): void {
    const event = parseTranslation(data);
    if (!event?.call_id) return;
    // Unsettled words do not come in order with the rest, and have no id.
    const revision = event.revision ?? ++this.arrivals;
    this.words.set(event.call_id, applyEvent(this.sentences(event.call_id), event, revision));
  }

  private handleCall(event: CallEvent): void {
    const before = this.calls;
    this.calls = applyCallEvent(before, event);
    if (this.calls !== before) this.changedList([]);
    if (typeof event.call_id === "string" && !this.calls.has(event.call_id)) void this.fetchCall(event.call_id);
  }

  private changedList(calls: readonly string[]): void {
    this.news.list = true;
    for (const call of calls) this.news.calls.add(call);
    this.changed();
  }

  /** Schedules one `onChange` per frame, or per pause, however many events arrive. */
  private changed(call?: string): void {
    if (call !== undefined) this.news.calls.add(call);
    if (this.scheduled) return;
    this.scheduled = true;
    const run = (): void => {
      this.scheduled = false;
      this.drawnAt = performance.now();
      const { news } = this;
      this.news = NO_NEWS();
      this.onChange(news);
    };
    const wait = this.drawnAt + this.pauseMs - performance.now();
    // Frames stop in background tabs; the title and the ring must not.
    if (document.hidden) setTimeout(run, Math.max(wait, 50));
    else if (wait > 0) setTimeout(() => requestAnimationFrame(run), wait);
    else requestAnimationFrame(run);
  }
}

export type { Call };
