/**
 * The state of a running call that a page stores, so that the page loaded after it can take the call back.
 *
 *   accepted ─▶ keep ─▶ (reload) ─▶ recall ─▶ INVITE with Replaces (RFC 3891)
 *
 * The state is in the tab's own storage, so that another tab does not take the call away.
 */
export interface Kept {
  callId: string;
  /** The tags of the dialog. */
  serverTag: string;
  ownTag: string;
  /** Name of the other side, as the page showed it. */
  peer: string;
  /** Time of the answer, in ms since the epoch. */
  since: number;
}

/** The methods of `Storage` that are used. */
export interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

const KEY = "tandem.call";

/** Stores the running call. */
export function keep(store: Store, kept: Kept): void {
  store.setItem(KEY, JSON.stringify(kept));
}

/** Removes the stored call. */
export function forget(store: Store): void {
  store.removeItem(KEY);
}

/** Returns the stored call of the previous page and removes it; `undefined` if there is none or it is malformed. */
export function recall(store: Store): Kept | undefined {
  const text = store.getItem(KEY);
  store.removeItem(KEY);
  if (text === null) return undefined;
  try {
    const { callId, serverTag, ownTag, peer, since } = JSON.parse(text) as Partial<Kept>;
    const texts = [callId, serverTag, ownTag].every((value) => typeof value === "string" && /^[^\s;]+$/.test(value));
    if (!texts || typeof peer !== "string" || typeof since !== "number") return undefined;
    return { callId, serverTag, ownTag, peer, since } as Kept;
  } catch {
    return undefined;
  }
}

/** Returns the headers of an INVITE that takes over the stored call. */
export function replacing({ callId, serverTag, ownTag }: Kept): string[] {
  return ["Require: replaces", `Replaces: ${callId};to-tag=${serverTag};from-tag=${ownTag}`];
}

/** The parts of a SIP message that identify its dialog. */
export interface Named {
  call_id: string;
  from_tag: string;
  to_tag: string;
}

/** Returns the dialog of a call. `ours`: we made the call, and the message is the response to it; else it is the INVITE we answered. */
export function dialogOf({ call_id, from_tag, to_tag }: Named, ours: boolean): Pick<Kept, "callId" | "serverTag" | "ownTag"> {
  const [ownTag, serverTag] = ours ? [from_tag, to_tag] : [to_tag, from_tag];
  return { callId: call_id, serverTag, ownTag };
}
