/** Usage by day, and the limits for requests. */
import { h } from "../dom.js";
import { Records } from "../records.js";
import { dateOnly, duration } from "../words.js";
import { loaded, panel, type Section } from "./context.js";
import * as requests from "./requests.js";
import { LIMITS, type Limit, limitText, type Usage, type UsageReport } from "./shapes.js";

export const USAGE: Section = { name: "usage", label: "Usage", takes: ["usage.read"], build };

function build(): HTMLElement {
  return h(
    "div",
    { class: "stack wide-gap" },
    panel(
      "Usage",
      "The last 30 days, in UTC. A call counts for the day on which it ended.",
      [],
      loaded(requests.usageShow, (report) => [totals(report), days(report)]),
    ),
    limits(),
  );
}

function totals({ total }: UsageReport): HTMLElement {
  const fact = (term: string, value: string): HTMLElement => h("div", {}, h("dt", {}, term), h("dd", {}, value));
  return h(
    "dl",
    { class: "facts" },
    fact("Calls", (total.inbound + total.outbound).toLocaleString("en")),
    fact("Talk time", duration(total.callSeconds * 1000)),
    fact("Recorded", duration(total.recordedSeconds * 1000)),
    fact("Sentences translated", total.translated.toLocaleString("en")),
  );
}

function days(report: UsageReport): HTMLElement {
  const list = new Records<Usage>({
    id: "usage",
    caption: "Usage by day",
    empty: "There has been no usage yet.",
    key: ({ day }) => day,
    load: async () => ({ items: report.days, next: null }),
    columns: [
      { label: "Day", kind: "main", cell: ({ day }) => dateOnly(`${day}T12:00:00`, Date.now()) },
      { label: "Inbound", kind: "number", cell: ({ inbound }) => inbound.toLocaleString("en") },
      { label: "Outbound", kind: "number", cell: ({ outbound }) => outbound.toLocaleString("en") },
      { label: "Talk time", kind: "number", cell: ({ callSeconds }) => duration(callSeconds * 1000) },
      { label: "Recorded", kind: "number", cell: ({ recordedSeconds }) => duration(recordedSeconds * 1000) },
      { label: "Translated", kind: "number", cell: ({ translated }) => translated.toLocaleString("en") },
    ],
  });
  void list.refresh();
  return list.element;
}

function limits(): HTMLElement {
  const list = new Records<Limit>({
    id: "limits",
    caption: "Limits",
    empty: "There are no limits.",
    key: ({ name }) => name,
    load: async () => ({ items: await requests.limitList(), next: null }),
    columns: [
      { label: "Action", kind: "main", cell: ({ name }) => LIMITS[name] ?? name },
      { label: "Limit", cell: limitText },
      { label: "Remaining", kind: "number", cell: ({ remaining }) => remaining?.toLocaleString("en") ?? "" },
    ],
  });
  void list.refresh();
  return panel("Limits", "How many requests you may make before the server asks you to wait.", [], list.element);
}
