/**
 * Whether a connection still carries anything: asks now and then, and tells when nothing comes back.
 *
 *   start ─▶ ask ─▶ heard ─▶ … ask ─▶ nothing for the patience ─▶ dead
 *
 * A network that is changed leaves connections behind that look open for minutes.
 */
export interface Rhythm {
  /** How often it asks, ms. */
  every: number;
  /** How long an answer may take, ms. */
  patience: number;
}

/** While nothing depends on the connection. */
export const CALM: Rhythm = { every: 20_000, patience: 5_000 };
/** During a call, whose other side hears nothing until the way is found anew. */
export const ALERT: Rhythm = { every: 1_000, patience: 1_000 };

export class Pulse {
  private rhythm = CALM;
  private running = false;
  private next: ReturnType<typeof setTimeout> | undefined;
  private deadline: ReturnType<typeof setTimeout> | undefined;
  private alive: (() => void) | undefined;

  constructor(
    private readonly ask: () => void,
    private readonly dead: () => void,
  ) {}

  start(): void {
    this.stop();
    this.running = true;
    this.plan();
  }

  stop(): void {
    this.running = false;
    clearTimeout(this.next);
    this.relax();
    this.alive = undefined;
  }

  /** Another rhythm from now on. It asks at once, waits for that answer as long as this rhythm does, and calls `alive` when it is there. */
  beat(rhythm: Rhythm, alive?: () => void): void {
    this.rhythm = rhythm;
    if (!this.running) return;
    this.relax();
    this.alive = alive;
    this.probe();
  }

  /** Something came: whatever it was, the connection lives. */
  heard(): void {
    this.relax();
    const { alive } = this;
    this.alive = undefined;
    alive?.();
  }

  private relax(): void {
    clearTimeout(this.deadline);
    this.deadline = undefined;
  }

  private plan(): void {
    clearTimeout(this.next);
    this.next = setTimeout(() => this.probe(), this.rhythm.every);
  }

  private probe(): void {
    this.plan();
    // An answer that is still awaited is not put off by another question.
    this.deadline ??= setTimeout(() => {
      this.stop();
      this.dead();
    }, this.rhythm.patience);
    this.ask();
  }
}
