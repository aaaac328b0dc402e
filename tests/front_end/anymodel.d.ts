/** The part of anywidget's model that the panels use; the traits of each panel are written by declarations.py. */
interface AnyModel<Traits = any> {
  get<Name extends keyof Traits & string>(name: Name): Traits[Name];
  set<Name extends keyof Traits & string>(name: Name, value: Traits[Name]): void;
  save_changes(): void;
  send(message: unknown): void;
  on(event: string, listener: (...values: any[]) => void): void;
  off(event: string, listener: (...values: any[]) => void): void;
  widget_manager: any;
  /** Only the model of a saved page has it: there is no kernel. */
  standalone?: boolean;
}

/** What finds another widget by the reference that a trait holds. */
interface WidgetHost {
  getWidget(reference: string): Promise<{ render(props: { el: HTMLElement; signal?: AbortSignal }): Promise<void> }>;
}
