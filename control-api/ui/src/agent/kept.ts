/**
 * What a page keeps of its running call, so that the page that is loaded after it can take the call back.
 *
 *   accepted ─▶ keep ─▶ (reload) ─▶ recall ─▶ INVITE with Replaces (RFC 3891)
 *
 * It lies in the tab's own storage: another tab does not take the call away.
 */
export interface Kept {
  callId: string;
  /** The tags of the dialog. */
  serverTag: string;
  ownTag: string;
  /** Whom the call is with, as it was shown. */
  peer: string;
  /** When it was answered. */
  since: number;
}

/** The part of `Storage` that is used. */
export interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

const KEY = "tandem.call";

export function keep(store: Store, kept: Kept): void {
  store.setItem(KEY, JSON.stringify(kept));
}

export function forget(store: Store): void {
  store.removeItem(KEY);
}

/** The call that the page before this one was in, once: whoever asks has it. */
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

/** The headers that ask for the call's place. */
export function replacing({ callId, serverTag, ownTag }: Kept): string[] {
  return ["Require: replaces", `Replaces: ${callId};to-tag=${serverTag};from-tag=${ownTag}`];
}

/** A SIP message as far as a dialog is named by it. */
export interface Named {
  call_id: string;
  from_tag: string;
  to_tag: string;
}

/** The dialog of a call that we made (`message` is the answer) or took (`message` is the INVITE). */
export function dialogOf({ call_id, from_tag, to_tag }: Named, ours: boolean): Pick<Kept, "callId" | "serverTag" | "ownTag"> {
  const [ownTag, serverTag] = ours ? [from_tag, to_tag] : [to_tag, from_tag];
  return { callId: call_id, serverTag, ownTag };
}
