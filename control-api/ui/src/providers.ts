/** State of the speech providers and of the room for recordings, as events tell it. */

export type ProviderKind = "stt" | "translator" | "tts" | "recording";

export interface ProviderState {
  kind: ProviderKind;
  name: string;
  state: "unknown" | "up" | "low" | "restarting" | "down" | "unsupported";
  detail: string;
}

export type Providers = Readonly<Record<ProviderKind, readonly ProviderState[]>>;

export const NO_PROVIDERS: Providers = { stt: [], translator: [], tts: [], recording: [] };

export const PROVIDER_LABEL: Record<ProviderKind, string> = {
  stt: "Recognition",
  translator: "Translation",
  tts: "Voice",
  recording: "Recording",
};

const STATES = ["up", "low", "restarting", "down", "unsupported"];

/** Reads `{kind, name, state, detail}`, bare or under `provider`; `state` may also be an object `{state, detail}`. */
export function parseProvider(value: unknown): ProviderState | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if ("provider" in value) return parseProvider(value.provider);
  const outer = value as Record<string, unknown>;
  const inner = typeof outer["state"] === "object" && outer["state"] !== null ? (outer["state"] as Record<string, unknown>) : outer;
  const kind = outer["kind"];
  const state = inner["state"];
  if (kind !== "stt" && kind !== "translator" && kind !== "tts" && kind !== "recording") return undefined;
  if (typeof state !== "string" || !STATES.includes(state)) return undefined;
  const detail = inner["detail"];
  return {
    kind,
    name: typeof outer["name"] === "string" ? outer["name"] : "",
    state: state as ProviderState["state"],
    detail: typeof detail === "string" ? detail : "",
  };
}

/**
 * The newest word of each provider. "Not for this language" stands beside the state of the same provider, because a
 * recogniser may be up for English and unable to hear Spanish.
 */
export function applyProvider(providers: Providers, update: ProviderState): Providers {
  const limits = (state: ProviderState): boolean => state.state === "unsupported";
  const others = providers[update.kind].filter(
    (known) => known.name !== update.name || limits(known) !== limits(update) || (limits(known) && known.detail !== update.detail),
  );
  return { ...providers, [update.kind]: [...others, update] };
}

/** One word for the kind: the worst that its providers say, limits of language aside. */
export function summary(states: readonly ProviderState[]): ProviderState["state"] {
  const order: ProviderState["state"][] = ["down", "restarting", "low", "up"];
  return order.find((state) => states.some((known) => known.state === state)) ?? (states.length > 0 ? "unsupported" : "unknown");
}

/** Sentences to show as they are. */
export function limits(providers: Providers): string[] {
  const found = [...providers.stt, ...providers.translator, ...providers.tts].filter((known) => known.state === "unsupported");
  return [...new Set(found.map((known) => known.detail || "Spanish speech cannot be recognised offline."))];
}
