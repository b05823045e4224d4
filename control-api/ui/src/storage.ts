/** The user's choices, stored in this browser. */

/** Returns a stored choice; "" if there is none. */
export function read(key: string): string {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

/** Stores a choice. */
export function write(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // In a private window without storage the choice is lost when the page is closed.
  }
}
