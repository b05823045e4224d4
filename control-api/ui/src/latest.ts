/** Keeps late answers from overwriting newer ones: each request gets a number, and only the newest one's answer is used. */
export class Latest {
  private current = 0;

  /** Starts a request and returns a function that says whether its answer is still wanted. */
  begin(): () => boolean {
    const mine = ++this.current;
    return () => mine === this.current;
  }

  /** Makes every running request unwanted. */
  cancel(): void {
    this.current += 1;
  }
}
