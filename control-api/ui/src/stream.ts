/**
 * A server-sent event stream that reconnects automatically.
 *
 *   open ─▶ live ─▶ broken ─▶ waiting ─▶ open …   resumes with Last-Event-ID, so that nothing is lost or repeated
 *
 * It uses fetch, because EventSource stops for good after an HTTP error and does not report it.
 */
import { ResumeGate, retryDelay, type SseMessage, SseParser } from "./sse.js";

export type StreamState = "connecting" | "live" | "waiting" | "ended";

export interface StreamHandlers {
  onMessage(message: SseMessage): void;
  onState?(state: StreamState): void;
  /** The server answered 401: the session has ended. */
  onUnauthorized?(): void;
}

/** Time without a byte after which the connection counts as dead; servers send comments in between. */
const SILENCE_MS = 60_000;

/** Opens a stream and keeps it open until `close` is called or the server ends it. */
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
      // 204 means that no more events will follow; 404 that the call is unknown.
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
      // Broken connections are normal; the state reports them.
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

  // After a laptop has woken up or the network is back, reconnect at once.
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
