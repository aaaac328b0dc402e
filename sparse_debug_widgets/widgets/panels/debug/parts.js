// The elements of the Debug panel, without behaviour.

import { Layers } from "../../kit/draw.js";
import { make, plainButton } from "../../kit/kit.js";
import { card, tile } from "../../kit/parts.js";

/** @typedef {ReturnType<typeof debugParts>} DebugParts */

/**
 * @param {{files: HTMLElement, errors: HTMLElement, job: HTMLElement}} given
 */
export function debugParts({ files, errors, job }) {
  const about = make("div", { class: "sdw-about" });
  const again = plainButton("Look again", "Look at the model as it is now; the notebook stays free");
  const tiles = {
    dense: tile("the model's own layer"),
    sparse: tile("sparse layer"),
    weakest: tile("weakest class"),
    group: tile("weakest group"),
    explained: tile("errors one feature makes"),
  };
  const sentences = make("ul", { class: "sdw-debug-says" }),
    leftOut = make("ul", { class: "sdw-debug-says sdw-debug-quiet" });
  const layers = new Layers("Share of right answers of each class and group, the weakest first", "sdw-debug-shares");
  layers.moving.remove();
  const table = make("div", {
    class: "sdw-debug-table",
    tabindex: 0,
    role: "region",
    "aria-label": "Classes and groups",
  });
  const legend = make("div", { class: "sdw-debug-quiet" });
  const matrix = make("div", {
    class: "sdw-debug-table",
    tabindex: 0,
    role: "region",
    "aria-label": "Confusions: a row for each class, a column for each answer",
  });
  const all = plainButton("All errors", "List the errors of all classes");
  const listTitle = make("h3", {}, "Errors"),
    list = make("div", { class: "sdw-debug-list", role: "group", "aria-label": "Errors to choose" }),
    more = plainButton("More", "Show more of these errors");
  const why = make("div", { class: "sdw-debug-why", role: "status", "aria-live": "polite" });
  const silence = plainButton("Silence it", "Silence this feature for all classes, and measure what that does", {
    class: "sdw-button sdw-primary",
  });
  const example = make("div", { class: "sdw-debug-example" });
  const suspects = make("div", { class: "sdw-debug-table", tabindex: 0, role: "region", "aria-label": "Suspects" });
  const log = make("ol", { class: "sdw-debug-log" }),
    undo = plainButton("Undo", "Take the newest repair back"),
    suggested = plainButton("Silence as reported", "Silence the features that the report has silenced"),
    openPath = plainButton("Open the path", "Show the path with this repair in a Path panel below");
  const nothing = make("div", { class: "sdw-debug-quiet" }, "Nothing is silenced yet.");
  const place = make("div", { class: "sdw-debug-embedded" });
  const spoken = make("div", { class: "sdw-spoken", role: "status", "aria-live": "polite" });
  const causeList = make("ul", { class: "sdw-debug-says" }),
    causeShown = make("div", { class: "sdw-debug-list" });
  const causeBox = make(
    "div",
    { class: "sdw-debug-table", tabindex: 0, role: "region", "aria-label": "Small causes" },
    causeShown,
    causeList,
  );
  const causes = card("Small causes", causeBox);
  const errorCards = make(
    "div",
    { class: "sdw-debug-columns" },
    card("What is taken for what", matrix, all),
    card(listTitle, make("div", {}, list, more)),
    card("This error, and why", make("div", {}, example, why, silence)),
  );
  const repairs = make(
    "div",
    { class: "sdw-debug-columns sdw-debug-two sdw-debug-wide" },
    card("Features under suspicion", suspects),
    card("Repairs", make("div", {}, nothing, log, make("div", { class: "sdw-actions" }, suggested, undo, openPath))),
  );
  const overview = make(
    "div",
    { class: "sdw-debug-columns sdw-debug-two" },
    card("Right answers", make("div", {}, layers.host, legend)),
    card("Classes and groups", table),
  );
  const body = make(
    "div",
    { hidden: true },
    make("div", { class: "sdw-tiles" }, ...Object.values(tiles).map((one) => one.box)),
    sentences,
    overview,
    causes,
    errorCards,
    repairs,
    leftOut,
  );
  const root = make(
    "section",
    { class: "sdw sdw-debug", "aria-label": "Why is it wrong?" },
    make("header", { class: "sdw-head" }, make("h2", {}, "Why is it wrong?"), about, files),
    make("div", { class: "sdw-actions sdw-debug-again" }, again),
    errors,
    job,
    body,
    place,
    spoken,
  );
  return {
    about,
    again,
    tiles,
    sentences,
    leftOut,
    layers,
    table,
    legend,
    matrix,
    all,
    listTitle,
    list,
    more,
    why,
    silence,
    example,
    suspects,
    log,
    undo,
    suggested,
    openPath,
    nothing,
    place,
    spoken,
    causes,
    causeList,
    causeShown,
    overview,
    errorCards,
    repairs,
    body,
    root,
  };
}
