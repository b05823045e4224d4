/**
 * What the person does with the running call: each action is shown at once, sent to the server, and taken back in a sentence when the
 * server refuses.
 *
 *   click ─▶ wish, call or transfer is shown ─▶ request (one after the other) ─┬─ done ─▶ the server's events take over
 *                                                                              └─ refused ─▶ as before, and why
 */
import type { Legs } from "../legs.js";
import { fields, text } from "../shapes.js";
import { causeText } from "../words.js";
import { targetOf, type Entry } from "./directory.js";
import { refusalText } from "./endings.js";
import * as verbs from "./verbs.js";
import { compare, NO_WISHES, settle, told, wish, wished, type Flag, type Wishes } from "./wishes.js";

/** Somebody who is being called into the call from this page. */
export interface Invited {
  name: string;
  /** Its leg, once the server has named it. */
  leg: number | undefined;
  answered: boolean;
}

export interface ControlEvents {
  /** Something is to be drawn anew. */
  onChange(): void;
  /** A sentence on what was refused or has failed; "": the last one is settled. */
  onProblem(text: string): void;
}

export class Controls {
  /** Whose place somebody else is being called to take, and who that is. */
  transferring: { leg: number; name: string; takenBack: boolean } | undefined;
  private invited: Invited[] = [];
  private wishes: Wishes = NO_WISHES;
  private ids = 0;
  private queue: Promise<void> = Promise.resolve();
  /** Answers to requests of an earlier call mean nothing any more. */
  private era = 0;

  constructor(private readonly events: ControlEvents) {}

  /** The call has ended. */
  reset(): void {
    this.era += 1;
    this.wishes = NO_WISHES;
    this.invited = [];
    this.transferring = undefined;
    this.events.onProblem("");
  }

  /** The legs as they are shown: as the server told them, and as the person wants them. */
  shown(legs: Legs): Legs {
    this.wishes = compare(this.wishes, legs);
    this.follow(legs);
    return wished(this.wishes, legs);
  }

  /** Those who are being called and whom the server has not told of. */
  waiting(legs: Legs): Invited[] {
    return this.invited.filter(({ leg }) => leg === undefined || !legs.has(leg));
  }

  /** An event of this call's; `mine`: the person's leg. Transfers may be somebody else's doing, too. */
  onEvent(kind: string, data: unknown, mine: number | undefined, nameOf: (peer: string) => string): void {
    const event = fields(data);
    const leg = event["leg"];
    if (typeof leg !== "number") return;
    if (kind === "call.seat") this.wishes = told(this.wishes, leg);
    if (kind !== "call.transfer") return;
    const stage = text(event["stage"]);
    const name = this.transferring?.leg === leg ? this.transferring.name : nameOf(text(event["to"]) ?? "");
    if (stage === "started") this.transferring = { leg, name, takenBack: false };
    else if (stage === "failed") {
      const takenBack = this.transferring?.takenBack === true;
      this.transferring = undefined;
      this.events.onProblem(takenBack ? "" : `The call was not transferred to ${name}. ${causeText(text(event["cause"]))}`);
      // The person's own leg ends now, and the telephone says why.
    } else if (leg !== mine) this.transferring = undefined;
    this.events.onChange();
  }

  set(call: string, leg: number, flag: Flag, on: boolean): void {
    const id = ++this.ids;
    this.wishes = wish(this.wishes, leg, flag, on, id);
    const send = flag === "held" ? verbs.legHold : verbs.legMute;
    this.send({
      work: () => send(call, leg, on),
      done: () => (this.wishes = settle(this.wishes, id, true)),
      refused: () => (this.wishes = settle(this.wishes, id, false)),
    });
  }

  /** Who is called hears and is heard by those who are not on hold. */
  add(call: string, entry: Entry): void {
    const invited: Invited = { name: entry.name, leg: undefined, answered: false };
    this.invited.push(invited);
    this.send({
      work: async () => {
        invited.leg = await verbs.legAdd(call, targetOf(entry));
      },
      refused: () => (this.invited = this.invited.filter((one) => one !== invited)),
    });
  }

  transfer(call: string, mine: number, entry: Entry): void {
    this.transferring = { leg: mine, name: entry.name, takenBack: false };
    this.send({ work: () => verbs.transfer(call, mine, targetOf(entry)), refused: () => (this.transferring = undefined) });
  }

  /** Hangs the person's leg up; its partner waits. `onSlot` is told even when the telephone's call has ended by then. */
  park(call: string, mine: number, { onSlot, refused }: { onSlot(slot: number | undefined): void; refused(): void }): void {
    this.send({ work: async () => onSlot(await verbs.legPark(call, mine)), refused });
  }

  /** Lets go who is being called in somebody's place. */
  takeBack(call: string, heir: number): void {
    if (this.transferring) this.transferring.takenBack = true;
    this.send({ work: () => verbs.legDelete(call, heir) });
  }

  remove(call: string, leg: number): void {
    this.invited = this.invited.filter((one) => one.leg !== leg);
    this.send({ work: () => verbs.legDelete(call, leg) });
  }

  /** Tells of those who were called and not reached. */
  private follow(legs: Legs): void {
    this.invited = this.invited.filter((one) => {
      const leg = one.leg === undefined ? undefined : legs.get(one.leg);
      if (leg?.state === "answered") one.answered = true;
      if (leg?.state !== "ended") return true;
      if (!one.answered) {
        const { sipStatus, text: words, cause } = leg.ending ?? { sipStatus: null, text: null, cause: null };
        this.events.onProblem(`${one.name} was not reached. ${sipStatus === null ? causeText(cause) : refusalText(sipStatus, words ?? "")}`);
      }
      return false;
    });
  }

  /** One request after the other, so that the last click has the last word. */
  private send({ work, done, refused }: { work(): Promise<void>; done?(): void; refused?(): void }): void {
    const era = this.era;
    this.events.onProblem("");
    this.events.onChange();
    const settled = (run: (() => void) | undefined, problem = ""): void => {
      if (era !== this.era) return;
      run?.();
      if (problem) this.events.onProblem(problem);
      this.events.onChange();
    };
    this.queue = this.queue.then(work).then(
      () => settled(done),
      (error: unknown) => settled(refused, error instanceof Error ? error.message : "The server did not do it."),
    );
  }
}
