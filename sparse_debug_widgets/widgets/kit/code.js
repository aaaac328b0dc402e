// "Copy as code": the calls that do the same, from the kernel to the clipboard.

import { complain, make, plainButton, write } from "./kit.js";

/** @import { Client } from "./wire.js" */

/**
 * Put a text on the clipboard; where the page may not, select it for the person to copy.
 * @param {string} text
 * @param {HTMLElement} shown
 */
async function putOnClipboard(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const range = document.createRange();
    range.selectNodeContents(shown);
    const selection = getSelection();
    selection?.removeAllRanges();
    selection?.addRange(range);
    return false;
  }
}

/**
 * "Copy as code": asks the kernel for the code, shows it, and puts it on the clipboard.
 * @param {{client: Client, life: AbortSignal, hasKernel: boolean}} view
 * @param {HTMLElement} errors
 * @param {() => Record<string, unknown>} wanted
 */
export function codeCopier(view, errors, wanted) {
  const button = plainButton("Copy as code", "Copy the calls that do the same"),
    spoken = make("span", { class: "sdw-spoken", role: "status", "aria-live": "polite" });
  const text = make("pre", { class: "sdw-code", tabindex: 0, hidden: true, "aria-label": "The code" });
  button.hidden = !view.hasKernel;
  const copy = async (/** @type {Record<string, unknown>} */ more) => {
    try {
      const { value } = await view.client.request("copy", { ...wanted(), ...more }).reply;
      write(text, value.code);
      text.hidden = false;
      errors.replaceChildren();
      const copied = await putOnClipboard(value.code, text);
      write(spoken, copied ? "The code is on the clipboard." : "The code is selected: copy it with the keyboard.");
      write(button, copied ? "Copied" : "Copy as code");
      setTimeout(() => write(button, "Copy as code"), 1500);
    } catch (error) {
      if (!view.life.aborted) complain(errors, error, view.life);
    }
  };
  button.addEventListener("click", () => void copy({}), { signal: view.life });
  return { button, text, spoken, copy };
}
