/** State of the speech providers and of the space for recordings, as events report it. */

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

/**
 * Parses `{kind, name, state, detail}`, bare or under `provider`; `state` may also be an object `{state, detail}`. `undefined` if it is
 * malformed.
 */
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
 * Returns the providers with a provider's new state. An unsupported language is kept beside the state of the same provider, because a
 * recogniser may be up for English and unable to recognise Spanish.
 */
export function applyProvider(providers: Providers, update: ProviderState): Providers {
  const limits = (state: ProviderState): boolean => state.state === "unsupported";
  const others = providers[update.kind].filter(
    (known) => known.name !== update.name || limits(known) !== limits(update) || (limits(known) && known.detail !== update.detail),
  );
  return { ...providers, [update.kind]: [...others, update] };
}

/** Returns the worst state of a kind's providers, ignoring unsupported languages. */
export function summary(states: readonly ProviderState[]): ProviderState["state"] {
  const order: ProviderState["state"][] = ["down", "restarting", "low", "up"];
  return order.find((state) => states.some((known) => known.state === state)) ?? (states.length > 0 ? "unsupported" : "unknown");
}

/** Returns sentences about unsupported languages. */
export function limits(providers: Providers): string[] {
  const found = [...providers.stt, ...providers.translator, ...providers.tts].filter((known) => known.state === "unsupported");
  return [...new Set(found.map((known) => known.detail || "Spanish speech cannot be recognised offline."))];
}
