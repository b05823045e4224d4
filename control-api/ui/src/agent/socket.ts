/**
 * JsSIP's WebSocket with a pulse: it is abandoned when the server does not answer a ping (CR LF CR LF, RFC 5626 section 4.4.1).
 * JsSIP opens the next one after a while; during a call it is opened here at once.
 */
import { WebSocketInterface } from "jssip";
import type { Socket } from "jssip/lib/Socket";
import { ALERT, CALM, Pulse } from "./pulse.js";

export class WatchedSocket implements Socket {
  private readonly inner: WebSocketInterface;
  private readonly pulse: Pulse;
  private call = false;

  constructor(url: string) {
    this.inner = new WebSocketInterface(url);
    this.pulse = new Pulse(
      () => this.inner.send("\r\n\r\n"),
      () => {
        // The close event would come only after the other side has answered, so it is not awaited.
        this.inner.disconnect();
        this.ondisconnect(true, 1006, "no answer to a ping");
        if (this.call) this.inner.connect();
      },
    );
    this.inner.onconnect = () => {
      this.pulse.start();
      this.onconnect();
    };
    this.inner.ondisconnect = (error, code, reason) => {
      this.pulse.stop();
      this.ondisconnect(error, code, reason);
    };
    this.inner.ondata = (data) => {
      this.pulse.dataArrived();
      this.ondata(data);
    };
  }

  /** Sets whether a call depends on the connection, and probes it at once; `alive` is called when an answer arrives. */
  watch(call: boolean, alive?: () => void): void {
    this.call = call;
    this.pulse.beat(call ? ALERT : CALM, alive);
  }

  get via_transport(): string {
    return this.inner.via_transport;
  }

  set via_transport(value: string) {
    this.inner.via_transport = value;
  }

  get url(): string {
    return this.inner.url;
  }

  get sip_uri(): string {
    return this.inner.sip_uri;
  }

  connect(): void {
    this.inner.connect();
  }

  disconnect(): void {
    this.pulse.stop();
    this.inner.disconnect();
  }

  send(message: string | ArrayBufferLike | Blob | ArrayBufferView): boolean {
    return this.inner.send(message);
  }

  isConnected(): boolean {
    return this.inner.isConnected();
  }

  isConnecting(): boolean {
    return this.inner.isConnecting();
  }

  // JsSIP's transport assigns these.
  onconnect(): void {}
  ondisconnect(_error: boolean, _code?: number, _reason?: string): void {}
  ondata<T>(_event: T): void {}
}
