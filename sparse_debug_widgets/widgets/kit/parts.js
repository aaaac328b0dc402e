// Pieces of panels, without behaviour: switches, tiles, cards.

import { complain, make, plainButton, write } from "./kit.js";
import { explained, whatIs } from "./terms.js";
/** @import { Client } from "./wire.js" */

/** @param {string} text @param {string} hint @param {string} [swatch] */
export function check(text, hint, swatch) {
  const box = make("input", { type: "checkbox", "aria-label": hint }),
    label = make("label", { class: "sdw-check", title: hint }, box);
  if (swatch) label.append(make("i", { class: `sdw-swatch sdw-swatch-${swatch}`, "aria-hidden": "true" }));
  label.append(text);
  return { box, label };
}

/** @param {string} label @param {string} [term] what the "?" beside it explains */
export function tile(label, term) {
  const value = make("div", { class: "sdw-tile-value" }),
    note = make("div", { class: "sdw-tile-note" }),
    name = make("span", { class: "sdw-tile-name" }, label);
  const head = make("div", { class: "sdw-tile-label" }, name);
  if (term) head.append(whatIs(term));
  return { box: make("div", { class: "sdw-tile" }, head, value, note), name, value, note };
}

/**
 * @param {string | HTMLElement} title text, or a heading of its own
 * @param {HTMLElement} body
 * @param {...HTMLElement} switches
 */
export function card(title, body, ...switches) {
  const heading = typeof title === "string" ? make("h3", {}, title) : title;
  return make("div", { class: "sdw-card" }, make("div", { class: "sdw-card-head" }, heading, ...switches), body);
}

/** A heading with a "?". @param {string} title @param {string} term */
export const heading = (title, term) => explained(make("h3", {}, title), term);

/** @param {...string} parts */
export function dotted(...parts) {
  return parts.filter(Boolean).join(" \u00b7 ");
}

/** @param {number} share */
export const percentText = (share) =>
  Number.isFinite(share) ? `${(100 * share).toFixed(share > 0.9995 || share < 0.0995 ? 2 : 1)} %` : "\u2013";

/**
 * Says that a result is stale, and computes it again on a click. Any panel may have one.
 * @param {{model: AnyModel, client: Client, life: AbortSignal}} view
 * @param {HTMLElement} errors
 */
export function staleBar({ model, client, life }, errors) {
  const text = make("div", { class: "sdw-stale-text" }),
    hint = make("div", { class: "sdw-stale-hint" });
  const renew = plainButton("Refresh", "Stale: compute the result again, beside the notebook");
  const stop = plainButton("Cancel", "Stop the refresh");
  const bar = make(
    "div",
    { class: "sdw-stale", role: "status", "aria-live": "polite", hidden: true },
    make("div", {}, text, hint),
    renew,
    stop,
  );
  const fill = () => {
    const { reasons = [], whyNot = "" } = model.get("stale") ?? {},
      job = model.get("renewal") ?? {};
    const busy = job.state === "running" || job.state === "queued";
    bar.hidden = reasons.length === 0 && !busy;
    write(text, reasons.length ? `Stale: ${reasons.join("; ")} since this was computed.` : "Refreshing\u2026");
    const share = job.total ? ` ${Math.round((100 * job.done) / job.total)} %` : "";
    const ended =
      job.state === "failed"
        ? `The refresh failed: ${job.error}`
        : job.state === "cancelled"
          ? "The refresh was cancelled."
          : "";
    write(hint, busy ? `Refreshing${share}: ${job.note}` : whyNot || ended);
    renew.hidden = busy || whyNot !== "" || model.standalone === true;
    stop.hidden = !busy;
    stop.disabled = job.cancelling === true;
  };
  renew.addEventListener(
    "click",
    async () => {
      renew.disabled = true;
      try {
        await client.request("refresh", {}).reply;
        errors.replaceChildren();
      } catch (error) {
        if (!life.aborted) complain(errors, error, life);
      }
      renew.disabled = false;
    },
    { signal: life },
  );
  stop.addEventListener("click", () => client.cancelJob(model.get("renewal").id), { signal: life });
  for (const name of ["change:stale", "change:renewal"]) {
    model.on(name, fill);
    life.addEventListener("abort", () => model.off(name, fill));
  }
  fill();
  return bar;
}
