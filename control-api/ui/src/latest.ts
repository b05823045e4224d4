/** Answers that come late must not overwrite newer ones: each request takes a number, only the newest may speak. */
export class Latest {
  private current = 0;

  /** Starts a request; the function tells whether its answer is still wanted. */
  begin(): () => boolean {
    const mine = ++this.current;
    return () => mine === this.current;
  }

  /** Makes every running request unwanted. */
  cancel(): void {
    this.current += 1;
  }
}
