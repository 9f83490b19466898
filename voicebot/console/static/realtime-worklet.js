// Microphone and loudspeaker of `realtime.js`, on the browser's audio thread: PCM16, mono, 24 kHz.

const RATE_HZ = 24000;
const FRAME = 480; // samples of the microphone in one message: 20 ms
const REPORT_EVERY = 960; // samples played between two reports: 40 ms
const AHEAD = 960; // samples that are waited for before an utterance begins, so that it does not run dry at once
const PATIENCE = 960; // samples of silence after which it begins with less

/** Gives the microphone's samples as `ArrayBuffer`s of PCM16, at 24 kHz whatever the context's rate is. */
class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.frame = new Int16Array(FRAME);
    this.filled = 0;
    this.step = sampleRate / RATE_HZ;
    this.at = 0; // where the next sample lies, counted in samples of the present block
    this.last = 0;
  }

  process(inputs) {
    const samples = inputs[0][0];
    if (samples) {
      if (this.step === 1) {
        for (const sample of samples) this.put(sample);
      } else {
        this.resample(samples);
      }
    }
    return true;
  }

  /** Average when there are too many samples, and draw lines between them. Good enough for speech. */
  resample(samples) {
    while (this.at < samples.length) {
      const from = Math.floor(this.at);
      const before = from === 0 ? this.last : samples[from - 1];
      this.put(before + (samples[from] - before) * (this.at - from));
      this.at += this.step;
    }
    this.at -= samples.length;
    this.last = samples[samples.length - 1];
  }

  put(sample) {
    this.frame[this.filled++] = Math.max(-1, Math.min(1, sample)) * 32767;
    if (this.filled === FRAME) {
      this.port.postMessage(this.frame.buffer, [this.frame.buffer]);
      this.frame = new Int16Array(FRAME);
      this.filled = 0;
    }
  }
}

/** Plays what it is given, and says how much of it was played since the last clear. */
class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.waiting = []; // Int16Arrays
    this.queued = 0; // samples in them
    this.offset = 0; // into the first one
    this.epoch = 0;
    this.played = 0; // samples, since the last clear
    this.reported = 0;
    this.speaking = false;
    this.silence = 0; // samples, since something waits and nothing is played
    this.port.onmessage = ({ data }) => (data instanceof ArrayBuffer ? this.add(data) : this.clear(data.epoch));
  }

  add(buffer) {
    const samples = new Int16Array(buffer);
    this.waiting.push(samples);
    this.queued += samples.length;
  }

  clear(epoch) {
    this.port.postMessage({ cut: this.played, epoch: this.epoch });
    this.waiting = [];
    this.queued = this.offset = this.played = this.reported = 0;
    this.speaking = false;
    this.epoch = epoch;
    this.report();
  }

  process(_inputs, outputs) {
    const out = outputs[0][0];
    if (!this.speaking && this.queued) {
      this.speaking = this.queued >= AHEAD || this.silence >= PATIENCE;
      this.silence += out.length;
    }
    if (this.speaking) this.play(out);
    return true;
  }

  play(out) {
    let at = 0;
    while (at < out.length && this.queued) {
      const samples = this.waiting[0];
      const count = Math.min(out.length - at, samples.length - this.offset);
      for (let n = 0; n < count; n++) out[at + n] = samples[this.offset + n] / 32768;
      at += count;
      this.offset += count;
      this.queued -= count;
      if (this.offset === samples.length) {
        this.waiting.shift();
        this.offset = 0;
      }
    }
    this.played += at;
    if (!this.queued) {
      this.speaking = false;
      this.silence = 0;
    }
    if (!this.queued || this.played - this.reported >= REPORT_EVERY || this.reported === 0) this.report();
  }

  report() {
    this.reported = this.played;
    this.port.postMessage({ played: this.played, epoch: this.epoch });
  }
}

registerProcessor("voicebot-capture", Capture);
registerProcessor("voicebot-player", Player);
