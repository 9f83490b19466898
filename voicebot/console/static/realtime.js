// A client of `/realtime/{session_id}` for browsers: speak, write, press keys, listen, come back.
//
//   const conversation = new Conversation(begun.websocket_url, begun.ticket);
//   conversation.addEventListener("transcript", ({ detail }) => console.log(detail.speaker, detail.text));
//   await conversation.connect();          // in answer to a click: browsers let nobody make a sound before
//   await conversation.openMicrophone();
//
// Every message of the server's that is not audio is an event of its type, with the message as `detail`; beside those,
// `lost` says that the socket broke and is being opened again, and `closed` that it is over for good. No dependencies;
// nothing inline, nothing evaluated: it works under `script-src 'self'` with `connect-src` for the server.
// `realtime-worklet.js` lies beside this file.

const RATE_HZ = 24000;
const PROTOCOL = "voicebot.v1";
const COMES_BACK = new Set([1001, 1006, 1011, 1012, 1013]); // close codes after which the conversation goes on
const RETURN_MS = 12000; // after a socket broke; the server waits a little longer
const RETRY_MS = 500;
const MOST_UNSENT_BYTES = 200000; // four seconds of the microphone; what comes while more waits is dropped
const WORKLET = new URL("./realtime-worklet.js", import.meta.url);

/** How a microphone is asked for when there is a loudspeaker in the room. */
export const VOICE = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };

export class Conversation extends EventTarget {
  #url;
  #ticket;
  #audio;
  #socket = null;
  #speaker = null; // AudioContext at 24 kHz
  #player = null; // its AudioWorkletNode
  #microphone = null; // { context, stream, node }
  #over = false;

  /** 0 to 1: how loud the last 20 ms of the microphone were, at their loudest sample. */
  inputLevel = 0;
  /** Whether the microphone's audio is withheld; silence goes out in its place. */
  muted = false;
  /** The last `hello` of the server. */
  hello = null;

  /**
   * @param {string} url `websocket_url` of the answer to `POST /conversations`
   * @param {string} ticket the one of that answer
   * @param {{audio?: "binary" | "none"}} options `none`: read what the bot says, and hear nothing
   */
  constructor(url, ticket, { audio = "binary" } = {}) {
    super();
    this.#url = url;
    this.#ticket = ticket;
    this.#audio = audio;
  }

  /** Connect, with the loudspeaker ready. Rejects if the server lets nobody in. */
  async connect() {
    if (this.#audio !== "none") {
      this.#speaker = new AudioContext({ sampleRate: RATE_HZ });
      await this.#speaker.audioWorklet.addModule(WORKLET);
      await this.#speaker.resume();
      this.#player = new AudioWorkletNode(this.#speaker, "voicebot-player", {
        numberOfInputs: 0,
        outputChannelCount: [1],
      });
      this.#player.connect(this.#speaker.destination);
      this.#player.port.onmessage = ({ data }) => this.#played(data);
    }
    await this.#open();
  }

  /**
   * Begin to speak. Rejects as `getUserMedia` does, when nobody allows it or there is none.
   * @param {MediaTrackConstraints | MediaStream} from how a microphone is asked for; or one that was had before
   */
  async openMicrophone(from = VOICE) {
    if (this.#microphone) return;
    const isThere = from instanceof MediaStream;
    const stream = isThere ? from : await navigator.mediaDevices.getUserMedia({ audio: from });
    let context = this.#speaker ?? new AudioContext({ sampleRate: RATE_HZ });
    let source;
    try {
      source = context.createMediaStreamSource(stream);
    } catch {
      context = new AudioContext(); // Firefox takes a microphone at its own rate only
      source = context.createMediaStreamSource(stream);
    }
    if (context !== this.#speaker) await context.audioWorklet.addModule(WORKLET);
    const node = new AudioWorkletNode(context, "voicebot-capture", { numberOfOutputs: 0, channelCount: 1 });
    node.port.onmessage = ({ data }) => this.#captured(data);
    source.connect(node);
    this.#microphone = { context, stream, node, source };
  }

  /** Stop speaking, and let go of the microphone. */
  closeMicrophone() {
    const microphone = this.#microphone;
    if (!microphone) return;
    this.#microphone = null;
    this.inputLevel = 0;
    microphone.node.port.onmessage = null;
    microphone.source.disconnect();
    for (const track of microphone.stream.getTracks()) track.stop();
    if (microphone.context !== this.#speaker) microphone.context.close();
  }

  /** Take a turn in text. */
  write(text) {
    this.#send({ type: "text", text });
  }

  /** Press keys, as on a telephone: 0-9 * # A-D. */
  press(keys) {
    this.#send({ type: "keys", keys });
  }

  /** End the conversation. `ended` still comes, and then `closed`. */
  hangUp() {
    this.#send({ type: "hang_up" });
    this.closeMicrophone();
  }

  // ---- the socket

  #open() {
    return new Promise((opened, failed) => {
      const url = new URL(this.#url);
      url.searchParams.set("audio", this.#audio);
      // Not in the address, which proxies write into their logs.
      const socket = new WebSocket(url, [PROTOCOL, `ticket.${this.#ticket}`]);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => {
        this.#socket = socket;
        opened();
      };
      socket.onmessage = ({ data }) => this.#take(data);
      socket.onclose = ({ code, reason }) => {
        if (this.#socket !== socket) {
          failed(new Error("the server lets nobody in with this ticket"));
          return;
        }
        this.#socket = null;
        if (COMES_BACK.has(code) && !this.#over) this.#comeBack(code, reason);
        else this.#close(code, reason);
      };
    });
  }

  async #comeBack(code, reason) {
    this.#tell("lost", { type: "lost", code, reason });
    this.#player?.port.postMessage({ epoch: 0 });
    const until = performance.now() + RETURN_MS;
    while (performance.now() < until) {
      try {
        await this.#open();
        return;
      } catch {
        await new Promise((waited) => setTimeout(waited, RETRY_MS));
      }
    }
    this.#close(code, reason);
  }

  #close(code, reason) {
    this.closeMicrophone();
    this.#speaker?.close();
    this.#speaker = this.#player = null;
    this.#tell("closed", { type: "closed", code, reason });
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #take(data) {
    if (data instanceof ArrayBuffer) {
      this.#player?.port.postMessage(data, [data]);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "hello") {
      this.hello = message;
      this.#ticket = message.ticket;
    } else if (message.type === "clear") {
      this.#player?.port.postMessage({ epoch: message.epoch });
    } else if (message.type === "ended") {
      this.#over = true;
    }
    this.#tell(message.type, message);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // ---- the audio thread

  #captured(buffer) {
    const samples = new Int16Array(buffer);
    if (this.muted) samples.fill(0);
    this.inputLevel = samples.reduce((loudest, one) => Math.max(loudest, Math.abs(one)), 0) / 32768;
    const socket = this.#socket;
    if (socket?.readyState === WebSocket.OPEN && socket.bufferedAmount < MOST_UNSENT_BYTES) socket.send(buffer);
  }

  /** What the audio thread has given out is heard a moment later, and is said to be played then. */
  #played(report) {
    if (report.cut !== undefined) {
      this.#tell("cut", { type: "cut", epoch: report.epoch, ms: (report.cut / RATE_HZ) * 1000 });
      return;
    }
    const message = { type: "played", epoch: report.epoch, ms: (report.played / RATE_HZ) * 1000 };
    const delay = (this.#speaker?.outputLatency || this.#speaker?.baseLatency || 0) * 1000;
    if (report.played && delay) setTimeout(() => this.#send(message), delay);
    else this.#send(message);
  }
}
