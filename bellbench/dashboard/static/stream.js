// The documents of a run as the server sends them, and the wish for a replay from anywhere at any speed.

/** Calls `began(about)` when a run begins to come in from its first line, `documents(list)` for each message,
 *  `connection(word)` when it changes. */
export class Stream {
  constructor({ began, documents, connection }) {
    this.began = began;
    this.documents = documents;
    this.connection = connection;
    this.place = "";
    this.run = "";
    this.source = null;
  }

  /** All that there is, and live what comes. */
  open() {
    this.connect({});
  }

  /** From the beginning to `at` seconds at once, and on at so many seconds per second; 0 stays there. */
  replay(at, speed) {
    this.place = "";
    this.run = "";
    this.connect({ at, speed });
  }

  /** On from what came last. */
  goOn(speed) {
    this.connect({ after: this.place, speed });
  }

  hold() {
    this.source?.close();
    this.source = null;
  }

  connect(query) {
    this.hold();
    this.connection("connecting");
    const source = new EventSource(`/documents?${new URLSearchParams(query)}`);
    this.source = source;
    source.onerror = () => {
      this.connection("no connection");
      if (source.readyState === EventSource.CLOSED) {
        // A browser gives up when it is answered by something else, as by another program on the port.
        setTimeout(() => this.source === source && this.connect(this.place ? { after: this.place } : query), 2000);
      }
    };
    source.addEventListener("none", () => this.connection("waiting"));
    source.addEventListener("run", (event) => {
      const about = JSON.parse(event.data);
      if (about.run !== this.run || about.after === 0) {
        this.run = about.run;
        this.began(about);
      }
      this.connection(about.speed !== null ? "replay" : about.ended ? "stored" : "live");
    });
    source.addEventListener("died", () => this.connection("died"));
    source.addEventListener("end", () => this.connection("stored"));
    source.onmessage = (event) => {
      if (this.source !== source) return;
      this.place = event.lastEventId;
      this.documents(JSON.parse(event.data));
    };
  }
}
