// The fields of the Fit panel.

import { Fields } from "../../kit/fields.js";
import { bytes } from "../../kit/jobs.js";

export class FitForm extends Fields {
  /**
   * @param {{fields: FieldSpec[], barred: Record<string, string>, devices: Record<string, {title: string,
   *   free: number | null}>}} head
   * @param {Record<string, any>} typed
   * @param {AbortSignal} life
   * @param {() => void} changed
   */
  constructor(head, typed, life, changed) {
    super([], typed, life, changed, "Settings of the fit");
    this.head = head;
    this.build(head.fields, typed);
  }

  /** @param {FieldSpec} spec @param {Record<string, string>} shared */
  select(spec, shared) {
    const control = super.select(spec, shared);
    if (spec.name !== "device") return control;
    for (const option of control.options) {
      const { title, free } = this.head.devices[option.value],
        left = free ? `, ${bytes(free)} free` : "";
      option.textContent += left;
      control.title = `${title}${left}`;
    }
    return control;
  }

  /** @param {FieldSpec} spec @param {string} text */
  refuse(spec, text) {
    return spec.name === "family" ? (this.head.barred[text] ?? "") : "";
  }
}
