/**
 * The SIP phone: JsSIP over WebSocket, one call at a time.
 *
 *   token ─▶ UA ─▶ registered ─▶ incoming | calling ─▶ active ─▶ idle
 *
 * A page that is closed during a call does not hang up: the server keeps the other side waiting, and the page that is loaded next
 * takes the call back. After a connection was lost or has fallen silent, an ICE restart runs over the new one.
 */
import { UA } from "jssip";
import type { RTCSession } from "jssip/lib/RTCSession";
import type { RTCSessionEvent } from "jssip/lib/UA";
import * as api from "../api.js";
import { Latest } from "../latest.js";
import { stopTracks } from "../microphone.js";
import { domainOf } from "../numbers.js";
import { type Token, tokenDelay } from "../token.js";
import { endingText } from "./endings.js";
import { dialogOf, forget, type Kept, keep, type Named, recall, replacing, type Store } from "./kept.js";
import { WatchedSocket } from "./socket.js";

export type Registration = "connecting" | "registered" | "unregistered" | "failed";
export type Phase = "idle" | "incoming" | "calling" | "active";

/** State of the phone's only line. */
export interface Line {
  phase: Phase;
  /** Number or name of the other side. */
  peer: string;
  muted: boolean;
  /** Time of the answer, in ms since the epoch; 0 before it. */
  since: number;
}

const IDLE: Line = { phase: "idle", peer: "", muted: false, since: 0 };

/** What the phone reports to its page, and asks of it. */
export interface PhoneEvents {
  onRegistration(state: Registration, text: string): void;
  onLine(line: Line): void;
  /** The call has ended; `text` says how. `ours`: the user of this page ended it. */
  onEnded(text: string, ours: boolean): void;
  onRinging(what: "ring" | "ringback" | "none"): void;
  /** Whether this page accepts an incoming call, judged by its INVITE's headers; without this method it accepts every call. */
  accepts?(header: (name: string) => string | undefined): boolean;
  /** Returns a microphone with which the incoming call is answered at once, judged by its INVITE's headers; `undefined` lets it ring. */
  answersWith?(header: (name: string) => string | undefined): MediaStream | undefined;
  /** Returns a microphone for the call that is taken back; `undefined` if there is none. */
  onTakeBack(): Promise<MediaStream | undefined>;
}

/** The part of a SIP message that is read here. */
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
  /** Whether the user is ending the call; JsSIP's `local` does not tell, as it covers ends by JsSIP itself. */
  private hangingUp = false;
  /** Whether the running call needs an ICE restart, because the connection was lost or the network has changed. */
  private astray = false;

  constructor(
    private readonly events: PhoneEvents,
    private readonly remote: HTMLAudioElement,
    /** Storage of the running call for the page that is loaded next. */
    private readonly store: Store = sessionStorage,
  ) {}

  /** The user's SIP name; "" before the first token. */
  get username(): string {
    return this.token?.username ?? "";
  }

  /** Host part of the user's SIP address; "" before the first token. */
  get domain(): string {
    return domainOf(this.token?.sip_uri ?? "");
  }

  /** The running call's peer connection. */
  get connection(): RTCPeerConnection | undefined {
    return this.session?.connection ?? undefined;
  }

  /** Fetches credentials and registers. */
  async start(): Promise<void> {
    this.events.onRegistration("connecting", "Connecting");
    await this.renew();
  }

  /** Stops as the page is closed. An active call is left to the next page; a ringing call ends now. */
  stop(): void {
    clearTimeout(this.timer);
    this.tokens.cancel();
    if (this.line.phase !== "active") this.ua?.stop();
  }

  /** Checks the connection after the network may have changed. */
  networkChanged(): void {
    this.astray = this.line.phase === "active";
    // An offer sent over a dead connection would block the next one, so the connection is probed first.
    this.socket?.watch(this.astray, () => this.restartIce());
  }

  /** Renegotiates the running call's media over the network paths that exist now. */
  private restartIce(): void {
    const { session, ua } = this;
    if (!this.astray || !session || this.line.phase !== "active" || !ua?.isConnected() || !ua.isRegistered()) return;
    // JsSIP refuses while another offer is in progress: the next event tries again.
    this.astray = !session.renegotiate({ rtcOfferConstraints: { iceRestart: true } });
  }

  /** Takes back the call of the previous page, if there is one. */
  private async takeBack(): Promise<void> {
    if (this.line.phase !== "idle") return;
    const kept = recall(this.store);
    if (!kept) return;
    const microphone = await this.events.onTakeBack();
    if (!microphone) return this.events.onEnded("The running call could not be resumed: there is no microphone.", true);
    this.dial(this.token?.sip_uri ?? "", microphone, kept);
  }

  /** Fetches credentials and uses them, and repeats that before they expire and after a refusal. */
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
      if (error instanceof api.ApiError && error.status === 401) {
        api.toLogin();
        return;
      }
      const text = error instanceof Error ? error.message : "No credentials were received.";
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
    // A new address needs a new UA; a running call keeps the old one until it ends.
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
    const report = (state: Registration, text: string): void => {
      if (ua === this.ua || this.ua === undefined) this.events.onRegistration(state, text);
    };
    ua.on("connecting", () => report("connecting", "Connecting"));
    ua.on("connected", () => {
      report("connecting", "Registering");
      socket.watch(this.line.phase === "active");
    });
    ua.on("disconnected", () => {
      this.astray = this.line.phase === "active";
      report("unregistered", "Connection lost, trying again");
    });
    ua.on("registered", () => {
      report("registered", "Ready for calls");
      this.restartIce();
      void this.takeBack();
    });
    ua.on("unregistered", () => report("unregistered", "Not registered"));
    ua.on("registrationFailed", (event) => {
      const status = event.response?.status_code ?? 0;
      report(
        "failed",
        status === 401 || status === 403
          ? "Signing in to the phone service failed, trying again"
          : `Not registered: ${event.cause ?? "no answer"}`,
      );
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
      // Attached before the page is notified: it may answer at once, and the remote track arrives by this event.
      session.on("peerconnection", ({ peerconnection }: { peerconnection: RTCPeerConnection }) => this.follow(peerconnection));
      if (!microphone) this.events.onRinging("ring");
      this.set({ ...IDLE, phase: "incoming", peer: peerOf(session) });
      if (microphone) this.answer(microphone);
    });
    return ua;
  }

  /** Calls `target`, a SIP URI, or takes back the call `kept`. The stream is stopped when the call ends. */
  dial(target: string, microphone: MediaStream, kept?: Kept): void {
    if (!this.ua || this.line.phase !== "idle") {
      stopTracks(microphone);
      return;
    }
    this.microphone = microphone;
    const session = this.ua.call(target, {
      ...this.media(),
      extraHeaders: kept ? replacing(kept) : [],
      eventHandlers: { peerconnection: ({ peerconnection }: { peerconnection: RTCPeerConnection }) => this.follow(peerconnection) },
    });
    this.take(session, (answer) => dialogOf(answer, true), kept?.since);
    this.set({ ...IDLE, phase: "calling", peer: kept?.peer ?? peerOf(session) });
    session.on("progress", () => {
      // With early media the network sends its own ringback tone.
      if (!this.remote.srcObject) this.events.onRinging("ringback");
    });
  }

  /** Answers the incoming call. The stream is stopped when the call ends. */
  answer(microphone: MediaStream): void {
    if (!this.session || this.line.phase !== "incoming") {
      stopTracks(microphone);
      return;
    }
    this.microphone = microphone;
    this.events.onRinging("none");
    this.session.answer(this.media());
  }

  /** Declines, cancels or ends the call, whichever fits its state. */
  hangup(): void {
    const { session } = this;
    if (!session || session.isEnded()) {
      this.endCall("");
      return;
    }
    this.hangingUp = true;
    session.terminate(this.line.phase === "incoming" ? { status_code: 486 } : {});
  }

  mute(muted: boolean): void {
    if (this.line.phase !== "active") return;
    if (muted) this.session?.mute({ audio: true });
    else this.session?.unmute({ audio: true });
    this.set({ ...this.line, muted });
  }

  /** Sends a key as telephone-event (RFC 4733) after the keys that are still being sent. */
  press(digit: string): void {
    const sender = this.connection?.getSenders().find((one) => one.track?.kind === "audio");
    const dtmf = sender?.dtmf;
    if (dtmf?.canInsertDTMF) dtmf.insertDTMF(dtmf.toneBuffer + digit, 120, 70);
  }

  /** Switches to another microphone during the call. */
  async replaceMicrophone(microphone: MediaStream): Promise<void> {
    const track = microphone.getAudioTracks()[0];
    const sender = this.connection?.getSenders().find((one) => one.track?.kind === "audio" || one.track === null);
    if (!track || !sender || this.line.phase === "idle") {
      stopTracks(microphone);
      return;
    }
    track.enabled = !this.line.muted;
    await sender.replaceTrack(track);
    stopTracks(this.microphone);
    this.microphone = microphone;
  }

  private media(): { mediaStream: MediaStream; pcConfig: RTCConfiguration } {
    if (!this.microphone) throw new Error("the microphone is opened first");
    return { mediaStream: this.microphone, pcConfig: { iceServers: this.token?.ice_servers ?? [] } };
  }

  /** Follows a session. `dialog`: reads the dialog from the message that accepted it; `since`: time of the original answer. */
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

  /** Handles the end of the session. `message`: the response or request that ended it, if there was one. */
  private finish({ originator, cause, message }: { originator: string; cause: string; message: unknown }): void {
    const { phase } = this.line;
    const said = message as
      | { status_code?: unknown; reason_phrase?: unknown; getHeader?(name: string): string | undefined }
      | null
      | undefined;
    if (phase === "idle") return;
    this.endCall(
      endingText({
        stage: phase,
        ours: this.hangingUp,
        originator,
        cause,
        status: Number(said?.status_code ?? 0),
        phrase: typeof said?.reason_phrase === "string" ? said.reason_phrase : "",
        reason: said?.getHeader?.("Reason") ?? "",
      }),
    );
  }

  private follow(connection: RTCPeerConnection): void {
    connection.addEventListener("track", ({ track, streams }) => {
      this.remote.srcObject = streams[0] ?? new MediaStream([track]);
      // The browser allows this, because a call starts with a click.
      void this.remote.play().catch(() => undefined);
    });
    connection.addEventListener("iceconnectionstatechange", () => {
      if (connection === this.connection && connection.iceConnectionState === "disconnected") this.networkChanged();
    });
  }

  private endCall(text: string): void {
    const ours = this.hangingUp;
    this.session = undefined;
    this.hangingUp = false;
    this.astray = false;
    forget(this.store);
    stopTracks(this.microphone);
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
