/**
 * The SIP phone: JsSIP over WebSocket, one call at a time.
 *
 *   token ─▶ UA ─▶ registered ─▶ incoming | calling ─▶ active ─▶ idle
 *
 * A page that goes away in mid-call says nothing: the server lets the other side wait, and the page that is loaded next takes
 * the call back. A connection that was lost, or has fallen silent, is followed by an ICE restart over the new one.
 */
import { UA } from "jssip";
import type { RTCSession } from "jssip/lib/RTCSession";
import type { RTCSessionEvent } from "jssip/lib/UA";
import * as api from "../api.js";
import { Latest } from "../latest.js";
import { domainOf } from "../numbers.js";
import { tokenDelay, type Token } from "../token.js";
import { endingText } from "./endings.js";
import { dialogOf, forget, keep, recall, replacing, type Kept, type Named, type Store } from "./kept.js";
import { WatchedSocket } from "./socket.js";

export type Registration = "connecting" | "registered" | "unregistered" | "failed";
export type Phase = "idle" | "incoming" | "calling" | "active";

export interface Line {
  phase: Phase;
  /** Number or name of the other side. */
  peer: string;
  muted: boolean;
  /** When it was answered. */
  since: number;
}

const IDLE: Line = { phase: "idle", peer: "", muted: false, since: 0 };

export interface PhoneEvents {
  onRegistration(state: Registration, text: string): void;
  onLine(line: Line): void;
  /** A sentence about how the last call ended. `ours`: the person at this page ended it, and knows why. */
  onEnded(text: string, ours: boolean): void;
  onRinging(what: "ring" | "ringback" | "none"): void;
  /** Whether this page takes an incoming call at all, by a header of its INVITE; every one when this is left out. */
  accepts?(header: (name: string) => string | undefined): boolean;
  /** A microphone with which an incoming call is answered at once, by a header of its INVITE; nothing: it rings. */
  answersWith?(header: (name: string) => string | undefined): MediaStream | undefined;
  /** A microphone for the call that is taken back; nothing when there is none. */
  onTakeBack(): Promise<MediaStream | undefined>;
}

/** A SIP message as far as its headers are read. */
interface Headers {
  getHeader(name: string): string | undefined;
}

export class Phone {
  line: Line = IDLE;
  private ua: UA | undefined;
  private socket: WatchedSocket | undefined;
  private token: Token | undefined;
  private session: RTCSession | undefined;
  private microphone: MediaStream | undefined;
  private readonly tokens = new Latest();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  /** The person at this page ends the call: whatever JsSIP ends by itself it calls local too. */
  private hangingUp = false;
  /** The connection was lost while a call ran, or the network has changed: its media has to find a way anew. */
  private astray = false;

  constructor(
    private readonly events: PhoneEvents,
    private readonly remote: HTMLAudioElement,
    /** Where the running call is kept for the page that is loaded next. */
    private readonly store: Store = sessionStorage,
  ) {}

  get username(): string {
    return this.token?.username ?? "";
  }

  get domain(): string {
    return domainOf(this.token?.sip_uri ?? "");
  }

  get connection(): RTCPeerConnection | undefined {
    return this.session?.connection ?? undefined;
  }

  async start(): Promise<void> {
    this.events.onRegistration("connecting", "Connecting");
    await this.renew();
  }

  /** The page goes away. A running call is kept for the next one; of any other the other side hears now. */
  stop(): void {
    clearTimeout(this.timer);
    this.tokens.cancel();
    if (this.line.phase !== "active") this.ua?.stop();
  }

  /** The network may have changed. */
  networkChanged(): void {
    this.astray = this.line.phase === "active";
    // An offer into a dead connection would be in the way of the next one.
    this.socket?.watch(this.astray, () => this.findWay());
  }

  /** Offers the running call's media by the paths that there are now. */
  private findWay(): void {
    const { session, ua } = this;
    if (!this.astray || !session || this.line.phase !== "active" || !ua?.isConnected() || !ua.isRegistered()) return;
    // Refused while another offer is under way: the next event tries again.
    this.astray = !session.renegotiate({ rtcOfferConstraints: { iceRestart: true } });
  }

  /** Goes on with the call that the page before this one was in. */
  private async takeBack(): Promise<void> {
    if (this.line.phase !== "idle") return;
    const kept = recall(this.store);
    if (!kept) return;
    const microphone = await this.events.onTakeBack();
    if (!microphone) return this.events.onEnded("The running call could not be taken back: there is no microphone.", true);
    this.dial(this.token?.sip_uri ?? "", microphone, kept);
  }

  /** Fetches credentials and uses them; again before they expire, and after a refusal. */
  private async renew(): Promise<void> {
    const wanted = this.tokens.begin();
    clearTimeout(this.timer);
    try {
      const token = await api.webrtcToken();
      if (!wanted()) return;
      this.failures = 0;
      this.use(token);
      this.timer = setTimeout(() => void this.renew(), tokenDelay(token, Date.now()));
    } catch (error) {
      if (!wanted()) return;
      if (error instanceof api.ApiError && error.status === 401) return api.toLogin();
      const text = error instanceof Error ? error.message : "No credentials.";
      this.events.onRegistration("failed", text);
      this.timer = setTimeout(() => void this.renew(), Math.min(30_000, 1000 * 2 ** this.failures++));
    }
  }

  private use(token: Token): void {
    const before = this.token;
    this.token = token;
    const same = before && before.username === token.username && before.ws_url === token.ws_url && before.sip_uri === token.sip_uri;
    if (this.ua && same) {
      this.ua.set("password", token.password);
      if (!this.ua.isRegistered() && this.ua.isConnected()) this.ua.register();
      return;
    }
    // A new address needs a new UA; a running call keeps the old one until it is over.
    if (this.ua && this.line.phase !== "idle") return;
    this.ua?.stop();
    this.ua = this.build(token);
    this.ua.start();
  }

  private build(token: Token): UA {
    const socket = new WatchedSocket(token.ws_url);
    this.socket = socket;
    const ua = new UA({
      sockets: [socket],
      uri: token.sip_uri,
      authorization_user: token.username,
      password: token.password,
      register: true,
      register_expires: 300,
      session_timers: true,
      user_agent: "Tandem pages",
      connection_recovery_min_interval: 1,
      connection_recovery_max_interval: 15,
    });
    const tell = (state: Registration, text: string): void => {
      if (ua === this.ua || this.ua === undefined) this.events.onRegistration(state, text);
    };
    ua.on("connecting", () => tell("connecting", "Connecting"));
    ua.on("connected", () => {
      tell("connecting", "Registering");
      socket.watch(this.line.phase === "active");
    });
    ua.on("disconnected", () => {
      this.astray = this.line.phase === "active";
      tell("unregistered", "Connection lost, trying again");
    });
    ua.on("registered", () => {
      tell("registered", "Ready for calls");
      this.findWay();
      void this.takeBack();
    });
    ua.on("unregistered", () => tell("unregistered", "Not registered"));
    ua.on("registrationFailed", (event) => {
      const status = event.response?.status_code ?? 0;
      tell("failed", status === 401 || status === 403 ? "Signing in to the phone service failed, trying again" : `Not registered: ${event.cause ?? "no answer"}`);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => void this.renew(), Math.min(30_000, 1000 * 2 ** this.failures++));
    });
    ua.on("newRTCSession", ({ originator, session, request }: RTCSessionEvent) => {
      if (String(originator) !== "remote") return;
      if (this.line.phase !== "idle") return session.terminate({ status_code: 486 });
      const header = (name: string): string | undefined => (request as unknown as Headers).getHeader(name);
      if (this.events.accepts?.(header) === false) return session.terminate({ status_code: 480 });
      const microphone = this.events.answersWith?.(header);
      this.take(session, () => dialogOf(request as unknown as Named, false));
      // Before anybody is told: a page may answer at once, and its sound comes by this.
      session.on("peerconnection", ({ peerconnection }: { peerconnection: RTCPeerConnection }) => this.follow(peerconnection));
      if (!microphone) this.events.onRinging("ring");
      this.set({ ...IDLE, phase: "incoming", peer: peerOf(session) });
      if (microphone) this.answer(microphone);
    });
    return ua;
  }

  /** Calls `target`, a SIP URI, or takes the place of a call. The stream is stopped when the call is over. */
  dial(target: string, microphone: MediaStream, kept?: Kept): void {
    if (!this.ua || this.line.phase !== "idle") return microphone.getTracks().forEach((track) => track.stop());
    this.microphone = microphone;
    const session = this.ua.call(target, {
      ...this.media(),
      extraHeaders: kept ? replacing(kept) : [],
      eventHandlers: { peerconnection: ({ peerconnection }: { peerconnection: RTCPeerConnection }) => this.follow(peerconnection) },
    });
    this.take(session, (answer) => dialogOf(answer, true), kept?.since);
    this.set({ ...IDLE, phase: "calling", peer: kept?.peer ?? peerOf(session) });
    session.on("progress", () => {
      // A track that already sounds (early media) brings the network's own tone.
      if (!this.remote.srcObject) this.events.onRinging("ringback");
    });
  }

  answer(microphone: MediaStream): void {
    if (!this.session || this.line.phase !== "incoming") return microphone.getTracks().forEach((track) => track.stop());
    this.microphone = microphone;
    this.events.onRinging("none");
    this.session.answer(this.media());
  }

  /** Declines, cancels or ends, whichever fits. */
  hangup(): void {
    const { session } = this;
    if (!session || session.isEnded()) return this.over("");
    this.hangingUp = true;
    session.terminate(this.line.phase === "incoming" ? { status_code: 486 } : {});
  }

  mute(muted: boolean): void {
    if (this.line.phase !== "active") return;
    if (muted) this.session?.mute({ audio: true });
    else this.session?.unmute({ audio: true });
    this.set({ ...this.line, muted });
  }

  /** A key as telephone-event (RFC 4733); keys that are still being sent are not cut short. */
  press(digit: string): void {
    const sender = this.connection?.getSenders().find((one) => one.track?.kind === "audio");
    const dtmf = sender?.dtmf;
    if (dtmf?.canInsertDTMF) dtmf.insertDTMF(dtmf.toneBuffer + digit, 120, 70);
  }

  /** Another microphone in mid-call. */
  async replaceMicrophone(microphone: MediaStream): Promise<void> {
    const track = microphone.getAudioTracks()[0];
    const sender = this.connection?.getSenders().find((one) => one.track?.kind === "audio" || one.track === null);
    if (!track || !sender || this.line.phase === "idle") return microphone.getTracks().forEach((one) => one.stop());
    track.enabled = !this.line.muted;
    await sender.replaceTrack(track);
    this.microphone?.getTracks().forEach((one) => one.stop());
    this.microphone = microphone;
  }

  private media(): { mediaStream: MediaStream; pcConfig: RTCConfiguration } {
    if (!this.microphone) throw new Error("the microphone is opened first");
    return { mediaStream: this.microphone, pcConfig: { iceServers: this.token?.ice_servers ?? [] } };
  }

  /** `dialog`: its names, from the message that accepted it; `since`: when it was answered first. */
  private take(session: RTCSession, dialog: (accepted: Named) => Pick<Kept, "callId" | "serverTag" | "ownTag">, since?: number): void {
    this.session = session;
    const current = (): boolean => session === this.session;
    // JsSIP waits for the last ICE candidate; behind a VPN that takes seconds. The server has a public address and
    // learns ours from the first packet, so the first candidate is enough.
    let ready = false;
    session.on("icecandidate", (event) => {
      if (!ready) event.ready();
      ready = true;
    });
    session.on("accepted", (event: unknown) => {
      if (!current()) return;
      this.events.onRinging("none");
      this.set({ ...this.line, phase: "active", since: since ?? Date.now() });
      const { response } = event as { response?: Named };
      const { peer, since: answered } = this.line;
      keep(this.store, { ...dialog(response ?? { call_id: "", from_tag: "", to_tag: "" }), peer, since: answered });
    });
    session.on("failed", (event) => {
      if (current()) this.finish(event);
    });
    session.on("ended", (event) => {
      if (current()) this.finish(event);
    });
  }

  /** `message`: the answer or request that ended the call, if there was one. */
  private finish({ originator, cause, message }: { originator: string; cause: string; message: unknown }): void {
    const { phase } = this.line;
    const said = message as { status_code?: unknown; reason_phrase?: unknown; getHeader?(name: string): string | undefined } | null | undefined;
    if (phase === "idle") return;
    this.over(endingText({
      stage: phase,
      ours: this.hangingUp,
      originator,
      cause,
      status: Number(said?.status_code ?? 0),
      phrase: typeof said?.reason_phrase === "string" ? said.reason_phrase : "",
      reason: said?.getHeader?.("Reason") ?? "",
    }));
  }

  private follow(connection: RTCPeerConnection): void {
    connection.addEventListener("track", ({ track, streams }) => {
      this.remote.srcObject = streams[0] ?? new MediaStream([track]);
      // Allowed: a call begins with a click.
      void this.remote.play().catch(() => undefined);
    });
    connection.addEventListener("iceconnectionstatechange", () => {
      if (connection === this.connection && connection.iceConnectionState === "disconnected") this.networkChanged();
    });
  }

  private over(text: string): void {
    const ours = this.hangingUp;
    this.session = undefined;
    this.hangingUp = false;
    this.astray = false;
    forget(this.store);
    this.microphone?.getTracks().forEach((track) => track.stop());
    this.microphone = undefined;
    this.remote.srcObject = null;
    this.events.onRinging("none");
    this.set(IDLE);
    this.events.onEnded(text, ours);
    if (this.token && this.ua && this.ua.get("uri")?.toString() !== this.token.sip_uri) this.use(this.token);
  }

  private set(line: Line): void {
    if (line.phase !== this.line.phase) this.socket?.watch(line.phase === "active");
    this.line = line;
    this.events.onLine(line);
  }
}

function peerOf(session: RTCSession): string {
  const { uri, display_name: name } = session.remote_identity;
  const user = decodeURIComponent(uri.user ?? "") || uri.host;
  return name && name !== user ? `${name} (${user})` : user;
}
