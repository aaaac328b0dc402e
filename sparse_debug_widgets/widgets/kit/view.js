// What the view of every panel has: its traits, the kernel, a place for errors, and an end.

import { complain, make } from "./kit.js";
import { Client } from "./wire.js";

/**
 * @template {PanelTraits} [Traits=any]
 * @template {PanelAnswers} [Answers=any]
 */
export class PanelView {
  /**
   * @param {AnyModel<Traits>} model
   * @param {AbortSignal} life
   */
  constructor(model, life) {
    this.model = model;
    this.life = life;
    /** @type {Client<Answers>} */
    this.client = new Client(model, life);
    this.errors = make("div", { class: "sdw-errors" });
  }

  /** Is there a kernel behind the page? A saved page has none. */
  get hasKernel() {
    return !this.model.standalone;
  }

  /**
   * Follow traits for as long as the panel is on the page.
   * @param {HTMLElement} root
   * @param {[string, () => void][]} heard
   * @param {() => void} [ended]
   */
  follow(root, heard, ended) {
    for (const [event, listener] of heard) this.model.on(event, listener);
    this.life.addEventListener("abort", () => {
      for (const [event, listener] of heard) this.model.off(event, listener);
      ended?.();
      root.remove();
    });
  }

  /**
   * Colours of the theme: those asked for, of the series, and of the page, whose variables may be chains that
   * only the computed style resolves.
   * @param {HTMLElement} root
   * @param {readonly string[]} names
   * @returns {any}
   */
  coloursOf(root, names) {
    const style = getComputedStyle(root),
      colour = (/** @type {string} */ name) => style.getPropertyValue(`--sdw-${name}`).trim();
    const named = Object.fromEntries(names.map((name) => [name, colour(name)]));
    const series = Array.from({ length: 8 }, (_, k) => colour(`series-${k + 1}`));
    return {
      ...named,
      bg: style.backgroundColor,
      fg: style.color,
      series,
      font: style.fontFamily,
      dark: root.dataset.theme === "dark",
    };
  }

  /**
   * @template {keyof Traits & string} Name
   * @param {Name} name
   * @param {Traits[Name]} value
   */
  save(name, value) {
    try {
      this.model.set(name, value);
      this.model.save_changes();
    } catch {
      // Without a kernel the panel goes on; there is nobody to tell.
    }
  }

  /**
   * The kernel's answer; null where it refused, which is then said on the page.
   * @template {keyof Answers & string} Name
   * @param {Name} action
   * @param {Record<string, unknown>} args
   */
  async ask(action, args) {
    const before = this.errors.firstChild;
    try {
      const answer = await this.client.request(action, args).reply;
      // What went wrong meanwhile, such as the job that was asked for, is not what this answer settles.
      if (this.errors.firstChild === before) this.errors.replaceChildren();
      return answer;
    } catch (error) {
      if (!this.life.aborted) complain(this.errors, error, this.life);
      return null;
    }
  }
}
