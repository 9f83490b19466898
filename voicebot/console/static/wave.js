// A recording: a stereo WAV (8 kHz, mu-law or PCM16), the caller on the left; its peaks, and how they are drawn.

const MU_LAW = 7;
const PCM = 1;
const BUCKETS = 1600;

/** How loud a mu-law byte is, 0 to 1 (ITU-T G.711). */
const LOUDNESS = Float32Array.from({ length: 256 }, (_, byte) => {
  const given = ~byte & 0xff;
  return ((((given & 0x0f) * 8 + 0x84) << (given >> 4 & 0x07)) - 0x84) / 32124;
});

/**
 * Peaks of both sides.
 *
 * @param {ArrayBuffer} buffer a WAV
 * @returns {{duration: number, sides: Float32Array[]}} seconds; 0 to 1 for each bucket of time
 */
export function readWav(buffer) {
  const view = new DataView(buffer);
  const name = (at) => String.fromCharCode(...new Uint8Array(buffer, at, 4));
  let format = null;
  let start = 0;
  let length = 0;
  for (let at = 12; at + 8 <= buffer.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    if (name(at) === "fmt ")
      format = {
        code: view.getUint16(at + 8, true),
        channels: view.getUint16(at + 10, true),
        rate: view.getUint32(at + 12, true),
        bytes: view.getUint16(at + 22, true) / 8,
      };
    if (name(at) === "data") {
      start = at + 8;
      length = Math.min(size, buffer.byteLength - start);
      break;
    }
    at += 8 + size + (size % 2);
  }
  const isMuLaw = format?.code === MU_LAW && format.bytes === 1;
  if (!start || !(isMuLaw || (format?.code === PCM && format.bytes === 2))) throw new Error("the recording is no WAV");
  const frames = Math.floor(length / (format.bytes * format.channels));
  const octets = new Uint8Array(buffer, start);
  const loud = isMuLaw
    ? (index) => LOUDNESS[octets[index]]
    : (index) => Math.abs(view.getInt16(start + index * 2, true)) / 32768;
  const sides = Array.from({ length: format.channels }, () => new Float32Array(BUCKETS));
  for (let frame = 0; frame < frames; frame++) {
    const bucket = Math.floor((frame * BUCKETS) / frames);
    for (let channel = 0; channel < format.channels; channel++) {
      const found = loud(frame * format.channels + channel);
      if (found > sides[channel][bucket]) sides[channel][bucket] = found;
    }
  }
  return { duration: frames / format.rate, sides };
}

/**
 * Draw peaks: a band for each side, what was played in full colour.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array[]} sides
 * @param {number} played 0 to 1
 * @param {number[]} marks 0 to 1, where a line stands
 */
export function draw(canvas, sides, played, marks = []) {
  const ratio = devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const style = getComputedStyle(canvas);
  const colours = ["--caller", "--bot"].map((name) => style.getPropertyValue(name).trim());
  const band = height / sides.length;
  context.fillStyle = style.getPropertyValue("--line").trim();
  for (const mark of marks) context.fillRect(Math.round(mark * width), 0, 1, height);
  sides.forEach((peaks, side) => {
    const middle = band * (side + 0.5);
    context.fillStyle = colours[side] ?? colours[0];
    for (let x = 0; x < width; x += 3) {
      const from = Math.floor((x / width) * peaks.length);
      const to = Math.max(from + 1, Math.floor(((x + 3) / width) * peaks.length));
      let loudest = 0;
      for (let one = from; one < to && one < peaks.length; one++) loudest = Math.max(loudest, peaks[one]);
      const tall = Math.max(1, Math.sqrt(loudest) * (band - 8)); // as loudness is felt, not as it is measured
      context.globalAlpha = x / width <= played ? 1 : 0.35;
      context.fillRect(x, middle - tall / 2, 2, tall);
    }
  });
  context.globalAlpha = 1;
  context.fillStyle = style.getPropertyValue("--ink").trim();
  context.fillRect(Math.min(width - 1, played * width), 0, 1, height);
}
