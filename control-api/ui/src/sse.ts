/**
 * Parser for server-sent events (WHATWG HTML, section 9.2.6).
 *
 * Pure: text in, messages out. The connection is in `stream.ts`.
 */

export interface SseMessage {
  /** Name of the event, `message` when the server gave none. */
  event: string;
  /** Data lines joined by line feeds. */
  data: string;
  /** The message's own id; empty if it has none, in which case the stream cannot be resumed from it. */
  id: string;
}

/** Parses chunks that may end anywhere, even within a line end. */
export class SseParser {
  private rest = "";
  private event = "";
  private data: string[] = [];
  private id = "";
  private afterCarriageReturn = false;
  private started = false;
  /** Pause between attempts that the server has requested, in ms. */
  retry: number | undefined;

  /** Returns the messages that this chunk completes. */
  push(chunk: string): SseMessage[] {
    let text = chunk;
    if (!this.started && text.length > 0) {
      this.started = true;
      if (text.startsWith("\uFEFF")) text = text.slice(1);
    }
    if (this.afterCarriageReturn && text.length > 0) {
      this.afterCarriageReturn = false;
      if (text.startsWith("\n")) text = text.slice(1);
    }
    this.afterCarriageReturn = text.endsWith("\r") || (this.afterCarriageReturn && text === "");
    const lines = (this.rest + text).split(/\r\n|\r|\n/);
    this.rest = lines.pop() ?? "";
    const messages: SseMessage[] = [];
    for (const line of lines) {
      const message = this.line(line);
      if (message) messages.push(message);
    }
    return messages;
  }

  private line(line: string): SseMessage | undefined {
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return undefined;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "event") this.event = value;
    else if (field === "data") this.data.push(value);
    else if (field === "id" && !value.includes("\0")) this.id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
    return undefined;
  }

  private dispatch(): SseMessage | undefined {
    const { event, data, id } = this;
    this.event = "";
    this.data = [];
    this.id = "";
    if (data.length === 0) return undefined;
    return { event: event || "message", data: data.join("\n"), id };
  }
}

/**
 * Drops repeated messages of a resumed stream: ids are growing numbers, and none is admitted twice.
 */
export class ResumeGate {
  lastId = "";

  /** Returns whether the message is new. Messages without an id are always admitted. */
  admit(message: SseMessage): boolean {
    if (message.id === "") return true;
    if (isNumber(message.id) && isNumber(this.lastId) && Number(message.id) <= Number(this.lastId)) return false;
    this.lastId = message.id;
    return true;
  }
}

function isNumber(text: string): boolean {
  return /^\d+$/.test(text);
}

/** Returns the pause before attempt number `attempt` (from 0), in ms: 0.5 s doubling to 15 s, with a jitter by `random` (0 to 1). */
export function retryDelay(attempt: number, random: number, retry = 500): number {
  const full = Math.min(15_000, retry * 2 ** Math.min(attempt, 10));
  return Math.round(full * (0.75 + random * 0.5));
}
