// Which jobs the kernels have. A kernel broadcasts on a comm that nobody opened (widgets/kit/job_comm.py), so any
// connection hears it, also one that leaves comms to the notebook. What goes to the kernel goes over the
// control channel, which is served while a cell runs.

const COMM = "sdw.jobs";
const PATIENCE_MS = 10_000;
const SETTLED_MS = 300;
const LOST = ["restarting", "autorestarting", "terminating", "dead"];

/** @typedef {{id: number, name: string, noun?: string, state: string, cancelling: boolean, done: number, total: number,
 *   note: string, seconds: number, left: number | null, error: string}} Job */
/** @typedef {{connection: any, own: boolean, heard: boolean, session: string, over: string,
 *   jobs: Map<number, Job>, stop: () => void}} Followed */

/** @param {Job} job */
export const ended = (job) => ["done", "cancelled", "failed"].includes(job.state);

export class Kernels {
  /**
   * @param {any} host the modules of the application
   * @param {any} services its service manager
   * @param {() => Map<string, any>} inPage kernel id -> a connection that this page has anyway
   */
  constructor(host, services, inPage) {
    this.host = host;
    this.services = services;
    this.inPage = inPage;
    /** A list of jobs is on the screen: kernels without a notebook here are then asked, too. */
    this.watched = false;
    /** @type {Map<string, Followed>} */
    this.followed = new Map();
    /** @type {Set<string>} kernels that were asked and have nothing to show until somebody looks */
    this.passed = new Set();
    /** @type {Map<string, Map<number, Job>>} what was known when a connection was given up for another */
    this.kept = new Map();
    this.timer = 0;
    this.meeting = false;
    this.changed = new host.signaling.Signal(this);
    this.ended = new host.signaling.Signal(this);
    services.kernels.runningChanged.connect(() => this.syncSoon());
    services.sessions.runningChanged.connect(() => this.syncSoon());
  }

  /** A notebook that opens makes its own connection a moment later; a second one would be made for nothing. */
  syncSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.sync(), SETTLED_MS);
  }

  /** Jobs of all kernels, those that go on first, newest first.
   * @returns {{kernel: string, job: Job}[]} */
  list() {
    const all = [...this.followed].flatMap(([kernel, { jobs }]) => [...jobs.values()].map((job) => ({ kernel, job })));
    return all.sort((a, b) => Number(ended(a.job)) - Number(ended(b.job)) || b.job.id - a.job.id);
  }

  /** Number of jobs that go on. */
  running() {
    return this.list().filter(({ job }) => !ended(job)).length;
  }

  /** Of each kind of work how many go on, fits first. @returns {Map<string, number>} */
  counts() {
    /** @type {Map<string, number>} */
    const found = new Map();
    for (const { job } of this.list()) {
      const noun = job.noun ?? "job";
      if (!ended(job)) found.set(noun, (found.get(noun) ?? 0) + 1);
    }
    return new Map([...found].sort(([a], [b]) => Number(b === "fit") - Number(a === "fit") || a.localeCompare(b)));
  }

  /** What a person calls a kernel: the name of its notebook or console.
   * @param {string} kernel */
  label(kernel) {
    const session = this.session(kernel);
    const name = session?.type === "notebook" ? session.path.split("/").pop() : session?.name;
    return name || `kernel ${kernel.slice(0, 8)}`;
  }

  /** The notebook or console of a kernel, open in this page or not. @param {string} kernel */
  session(kernel) {
    return [...this.services.sessions.running()].find((model) => model.kernel?.id === kernel);
  }

  /** @param {string} kernel @param {number} job */
  cancel(kernel, job) {
    const followed = this.followed.get(kernel);
    if (followed) this.wish(followed.connection, { do: "cancel", job });
  }

  /** Start or stop asking kernels that have no notebook in this page. @param {boolean} yes */
  watch(yes) {
    this.watched = yes;
    if (yes) this.passed.clear();
    this.sync();
  }

  /** Follow the kernels that run now, by the page's own connections where there are any. */
  sync() {
    if (this.services.isDisposed) return;
    const inPage = this.inPage();
    const models = new Map([...this.services.kernels.running()].map((model) => [model.id, model]));
    for (const [id, followed] of [...this.followed]) {
      const here = inPage.get(id);
      const gone = !models.has(id) && !here;
      if (gone || (here && here !== followed.connection)) this.drop(id, gone);
    }
    for (const [id, connection] of inPage) this.follow(id, connection, false);
    if (this.strangers().length > 0) this.meet();
  }

  /** Running kernels that nobody here is connected to and that may have jobs. @returns {any[]} */
  strangers() {
    return [...this.services.kernels.running()].filter(
      ({ id, name }) => !this.followed.has(id) && !this.passed.has(id) && this.speaksPython(name),
    );
  }

  /** Connect to them, once the list is fresh: a kernel that was shut down a moment ago is still on an old one. */
  async meet() {
    if (this.meeting) return;
    this.meeting = true;
    try {
      await this.services.kernels.refreshRunning();
      for (const model of this.strangers())
        this.follow(model.id, this.services.kernels.connectTo({ model, handleComms: false }), true);
    } catch {
      // The server cannot be reached; the application says so, and the next change of the list is another try.
    } finally {
      this.meeting = false;
    }
  }

  /** @param {string} spec name of a kernel specification */
  speaksPython(spec) {
    const language = this.services.kernelspecs?.specs?.kernelspecs?.[spec]?.language ?? "python";
    return language.toLowerCase() === "python";
  }

  /** @param {string} id @param {any} connection @param {boolean} own made here, and so ended here */
  follow(id, connection, own) {
    if (this.followed.has(id) || connection.isDisposed || !this.speaksPython(connection.name)) return;
    const jobs = this.kept.get(id) ?? new Map();
    this.kept.delete(id);
    this.passed.delete(id);
    const heard = (/** @type {any} */ _, /** @type {any} */ message) => this.hear(id, message);
    const status = (/** @type {any} */ _, /** @type {string} */ state) => {
      if (LOST.includes(state)) this.lose(id);
    };
    const reached = (/** @type {any} */ _, /** @type {string} */ state) => {
      if (state === "connected" && followed.heard) this.wish(connection, { do: "list" });
    };
    const closed = () => {
      this.drop(id, false);
      this.syncSoon();
    };
    const followed = {
      connection,
      own,
      heard: false,
      session: "",
      over: "",
      jobs,
      stop: () => {
        connection.iopubMessage.disconnect(heard);
        connection.statusChanged.disconnect(status);
        connection.connectionStatusChanged.disconnect(reached);
        connection.disposed.disconnect(closed);
        if (own) connection.dispose();
      },
    };
    connection.iopubMessage.connect(heard);
    connection.statusChanged.connect(status);
    connection.connectionStatusChanged.connect(reached);
    connection.disposed.connect(closed);
    this.followed.set(id, followed);
    this.ask(id, followed);
  }

  /** Has this kernel our comm? If so, it also tells its jobs.
   * @param {string} id @param {Followed} followed */
  async ask(id, followed) {
    let has = false;
    try {
      const future = this.say(followed.connection, { do: "list" });
      const late = new Promise((done) => setTimeout(done, PATIENCE_MS));
      const reply = await Promise.race([future.done, late]);
      has = COMM in (reply?.content?.comms ?? {});
      future.dispose();
    } catch {
      // The kernel ended or the connection broke meanwhile; its signals say what to do.
    }
    if (this.followed.get(id) === followed && followed.own && !has && !followed.heard) {
      this.passed.add(id);
      this.drop(id, false);
    }
  }

  /** Say something and forget the answer. @param {any} connection @param {Record<string, unknown>} wish */
  wish(connection, wish) {
    if (connection.isDisposed || connection.status === "dead") return;
    this.say(connection, wish).done.catch(() => {});
  }

  /** A standard question with a wish added to it: a kernel without our package answers and ignores the wish, and
   * it changes neither the kernel's shown status nor its idle time.
   * @param {any} connection @param {Record<string, unknown>} wish */
  say(connection, wish) {
    const message = this.host.services.KernelMessage.createMessage({
      msgType: "comm_info_request",
      channel: "control",
      username: connection.username,
      session: connection.clientId,
      content: { target_name: COMM, [COMM]: wish },
    });
    return connection.sendControlMessage(message, true, true);
  }

  /** @param {string} id @param {any} message */
  hear(id, message) {
    if (message.header.msg_type !== "comm_msg" || message.content.comm_id !== COMM) return;
    const followed = this.followed.get(id);
    const told = message.content.data?.jobs;
    if (!followed || !Array.isArray(told)) return;
    followed.session = message.header.session;
    if (followed.session === followed.over) return; // the last words of a kernel that was restarted meanwhile
    const before = followed.jobs;
    const first = !followed.heard;
    followed.heard = true;
    followed.jobs = new Map(told.map((job) => [job.id, job]));
    for (const job of followed.jobs.values()) {
      const was = before.get(job.id);
      // What had ended before this page looked is no news.
      if (ended(job) && (was ? !ended(was) : !first)) this.ended.emit({ kernel: id, job });
    }
    this.changed.emit(undefined);
    const idle = ![...followed.jobs.values()].some((job) => !ended(job));
    if (followed.own && idle && !this.watched) {
      this.passed.add(id);
      this.drop(id, false);
    }
  }

  /** The kernel's memory is gone, and its jobs with it. @param {string} id */
  lose(id) {
    const followed = this.followed.get(id);
    if (!followed) return;
    for (const job of followed.jobs.values())
      if (!ended(job)) this.ended.emit({ kernel: id, job: { ...job, state: "lost" } });
    followed.jobs = new Map();
    followed.over = followed.session;
    this.changed.emit(undefined);
  }

  /** @param {string} id @param {boolean} gone the kernel itself has ended */
  drop(id, gone) {
    const followed = this.followed.get(id);
    if (!followed) return;
    if (gone) this.lose(id);
    if (followed.jobs.size > 0 && !gone) this.kept.set(id, followed.jobs);
    else this.kept.delete(id);
    this.followed.delete(id);
    followed.stop();
    this.changed.emit(undefined);
  }
}
