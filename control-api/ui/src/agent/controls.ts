/**
 * The user's actions on the running call. Each action is shown at once and sent to the server; if the server refuses it, the page
 * shows the previous state again with the reason.
 *
 *   click ─▶ wish, call or transfer is shown ─▶ request (one at a time) ─┬─ done ─▶ the server's events take over
 *                                                                        └─ refused ─▶ previous state and the reason
 */
import type { Legs } from "../legs.js";
import { fields, text } from "../shapes.js";
import { causeText } from "../words.js";
import { type Entry, targetOf } from "./directory.js";
import { refusalText } from "./endings.js";
import * as verbs from "./verbs.js";
import { applyWishes, compare, dropDone, type Flag, NO_WISHES, settle, type Wishes, wish } from "./wishes.js";

/** A person who is being called into the call from this page. */
export interface Invited {
  name: string;
  /** Number of their leg; undefined until the server has answered the request. */
  leg: number | undefined;
  answered: boolean;
}

export interface ControlEvents {
  /** The state has changed and must be drawn again. */
  onChange(): void;
  /** A sentence that says what was refused or has failed; "" clears the last one. */
  onProblem(text: string): void;
}

export class Controls {
  /** The transfer in progress: the leg that is replaced, the target's name, and whether the user has cancelled it. */
  transferring: { leg: number; name: string; takenBack: boolean } | undefined;
  private invited: Invited[] = [];
  private wishes: Wishes = NO_WISHES;
  private ids = 0;
  private queue: Promise<void> = Promise.resolve();
  /** Number of the current call: answers to requests of earlier calls are ignored. */
  private era = 0;

  constructor(private readonly events: ControlEvents) {}

  /** Forgets all state of the call, which has ended. */
  reset(): void {
    this.era += 1;
    this.wishes = NO_WISHES;
    this.invited = [];
    this.transferring = undefined;
    this.events.onProblem("");
  }

  /** Returns the legs as the page shows them: the server's state with the user's pending wishes applied. */
  withWishes(legs: Legs): Legs {
    this.wishes = compare(this.wishes, legs);
    this.reportUnreached(legs);
    return applyWishes(this.wishes, legs);
  }

  /** Returns the people who are being called and whose legs the server has not reported yet. */
  waiting(legs: Legs): Invited[] {
    return this.invited.filter(({ leg }) => leg === undefined || !legs.has(leg));
  }

  /** Handles an event of this call. `mine`: the user's own leg. Transfers may have been started by others, too. */
  onEvent(kind: string, data: unknown, mine: number | undefined, nameOf: (peer: string) => string): void {
    const event = fields(data);
    const leg = event["leg"];
    if (typeof leg !== "number") return;
    if (kind === "call.seat") this.wishes = dropDone(this.wishes, leg);
    if (kind !== "call.transfer") return;
    const stage = text(event["stage"]);
    const name = this.transferring?.leg === leg ? this.transferring.name : nameOf(text(event["to"]) ?? "");
    if (stage === "started") this.transferring = { leg, name, takenBack: false };
    else if (stage === "failed") {
      const takenBack = this.transferring?.takenBack === true;
      this.transferring = undefined;
      this.events.onProblem(takenBack ? "" : `The call was not transferred to ${name}. ${causeText(text(event["cause"]))}`);
      // The user's own leg ends now, and the phone reports why.
    } else if (leg !== mine) this.transferring = undefined;
    this.events.onChange();
  }

  /** Puts a leg on hold or mutes it (`on`), or undoes that. */
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

  /** Calls `entry` into the call; once answered, they talk with every party that is not on hold. */
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

  /** Transfers the other party to `entry`, who takes the place of the user's own leg `mine`. */
  transfer(call: string, mine: number, entry: Entry): void {
    this.transferring = { leg: mine, name: entry.name, takenBack: false };
    this.send({ work: () => verbs.transfer(call, mine, targetOf(entry)), refused: () => (this.transferring = undefined) });
  }

  /** Parks the other party and hangs up the user's leg. `onSlot` is called even if the phone's call has ended by then. */
  park(call: string, mine: number, { onSlot, refused }: { onSlot(slot: number | undefined): void; refused(): void }): void {
    this.send({ work: async () => onSlot(await verbs.legPark(call, mine)), refused });
  }

  /** Cancels the transfer in progress by hanging up the leg that is being called (`heir`). */
  takeBack(call: string, heir: number): void {
    if (this.transferring) this.transferring.takenBack = true;
    this.send({ work: () => verbs.legDelete(call, heir) });
  }

  /** Hangs up another party's leg. */
  remove(call: string, leg: number): void {
    this.invited = this.invited.filter((one) => one.leg !== leg);
    this.send({ work: () => verbs.legDelete(call, leg) });
  }

  /** Reports people who were called but not reached, and removes them from the list. */
  private reportUnreached(legs: Legs): void {
    this.invited = this.invited.filter((one) => {
      const leg = one.leg === undefined ? undefined : legs.get(one.leg);
      if (leg?.state === "answered") one.answered = true;
      if (leg?.state !== "ended") return true;
      if (!one.answered) {
        const { sipStatus, text: words, cause } = leg.ending ?? { sipStatus: null, text: null, cause: null };
        this.events.onProblem(
          `${one.name} was not reached. ${sipStatus === null ? causeText(cause) : refusalText(sipStatus, words ?? "")}`,
        );
      }
      return false;
    });
  }

  /** Sends one request after the other, so that the last click wins. */
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
      (error: unknown) => settled(refused, error instanceof Error ? error.message : "The server did not carry this out."),
    );
  }
}
