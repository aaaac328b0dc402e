// A panel inside another one, by the host's own getWidget.

import { complain, make } from "./kit.js";

export class Embedded {
  /**
   * @param {HTMLElement} place where it is put
   * @param {HTMLElement} errors
   * @param {AbortSignal} life
   * @param {WidgetHost} [host]
   */
  constructor(place, errors, life, host) {
    this.place = place;
    this.errors = errors;
    this.life = life;
    this.host = host;
    this.shown = "";
    this.inner = new AbortController();
  }

  /**
   * Show another panel, or none; the one before goes.
   * @param {string | null | undefined} name as a widget trait has it
   */
  async show(name) {
    const shown = name ?? "";
    if (shown === this.shown || !this.host) return;
    this.shown = shown;
    this.inner.abort();
    const inner = new AbortController(),
      signal = AbortSignal.any([this.life, inner.signal]);
    this.inner = inner;
    if (!shown) {
      this.place.replaceChildren();
      return;
    }
    try {
      const child = await this.host.getWidget(shown);
      if (signal.aborted) return;
      const el = make("div");
      this.place.replaceChildren(el);
      await child.render({ el, signal });
    } catch (error) {
      if (this.inner !== inner) return;
      this.shown = "";
      complain(this.errors, error, this.life);
    }
  }
}
