/**
 * A server-sent event stream that comes back by itself.
 *
 *   open ─▶ live ─▶ broken ─▶ waiting ─▶ open …   resumes with Last-Event-ID, nothing lost, nothing twice
 *
 * Built on fetch, because EventSource gives up for good on an HTTP error and cannot say why.
 */
import { ResumeGate, retryDelay, SseParser, type SseMessage } from "./sse.js";

export type StreamState = "connecting" | "live" | "waiting" | "ended";

export interface StreamHandlers {
  onMessage(message: SseMessage): void;
  onState?(state: StreamState): void;
  /** 401: the session is over. */
  onUnauthorized?(): void;
}

/** Without a byte for so long (servers send comments in between) the connection counts as dead. */
const SILENCE_MS = 60_000;

export function openStream(url: string, handlers: StreamHandlers): { close(): void } {
  const gate = new ResumeGate();
  let stopped = false;
  let attempt = 0;
  let retry: number | undefined;
  let abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function run(): Promise<void> {
    abort = new AbortController();
    const { signal } = abort;
    let watchdog: ReturnType<typeof setTimeout> | undefined;
    const alive = (): void => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
    };
    try {
      handlers.onState?.("connecting");
      alive();
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (gate.lastId !== "") headers["Last-Event-ID"] = gate.lastId;
      const response = await fetch(url, { headers, signal, cache: "no-store", credentials: "same-origin" });
      if (response.status === 401) {
        handlers.onUnauthorized?.();
        return stop();
      }
      // 204 is the server's word for "there will be nothing more"; 404: the call is unknown.
      if (response.status === 204 || response.status === 404) return stop();
      if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`);
      handlers.onState?.("live");
      attempt = 0;
      const parser = new SseParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        alive();
        for (const message of parser.push(value)) if (gate.admit(message) && !stopped) handlers.onMessage(message);
        retry = parser.retry ?? retry;
      }
    } catch {
      // Broken connections are ordinary: what matters is said by the state.
    } finally {
      clearTimeout(watchdog);
    }
    if (stopped) return;
    handlers.onState?.("waiting");
    timer = setTimeout(() => void run(), retryDelay(attempt++, Math.random(), retry));
  }

  function stop(): void {
    stopped = true;
    clearTimeout(timer);
    handlers.onState?.("ended");
  }

  // A laptop that wakes up, a network that comes back: no need to wait out the pause.
  const hurry = (): void => {
    if (stopped || timer === undefined) return;
    clearTimeout(timer);
    timer = undefined;
    void run();
  };
  window.addEventListener("online", hurry);

  void run();
  return {
    close(): void {
      stopped = true;
      clearTimeout(timer);
      window.removeEventListener("online", hurry);
      abort.abort();
    },
  };
}
