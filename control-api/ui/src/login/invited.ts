/** Finds an invitation's token in a link: `#TOKEN`, `#token=TOKEN` or `?token=TOKEN`. */

export interface Invited {
  token: string | undefined;
  /** The fragment that must replace the query in the address bar; `undefined` if the address needs no change. */
  clean: string | undefined;
}

/** Returns the token of the link with this query and fragment. */
export function invitationToken(search: string, hash: string): Invited {
  const asked = new URLSearchParams(search).get("token")?.trim() ?? "";
  const fragment = hash.replace(/^#/, "").replace(/^token=/, "");
  const token = [decode(fragment), asked].find(isToken);
  return { token, clean: asked !== "" && token !== undefined ? `#${token}` : undefined };
}

function isToken(text: string): boolean {
  return /^[\w\-.~]{8,256}$/.test(text);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
