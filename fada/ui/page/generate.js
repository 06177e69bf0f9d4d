// Portrait and speech in, a video out.
import { ask, duration, get, guarded, make, visited } from "./parts.js";
import { Making, Result } from "./making.js";
import { ModelForm } from "./model_form.js";

export const chosen = { portrait: false, speech: false, seconds: 0 };
const listeners = [];
export const onInputs = (listener) => listeners.push(listener);

export const common = () => ({
  seed: Number(get("seed").value || 0),
  seconds: get("seconds").value ? Number(get("seconds").value) : null,
});

async function send(kind, file, largest, said) {
  const { visit, ...limits } = await visited();
  if (file.size > limits[largest]) {
    throw new Error(`${file.name}: has ${Math.ceil(file.size / 2 ** 20)} MiB, at most ${limits[largest] / 2 ** 20} are taken`);
  }
  said.textContent = "sending …";
  return ask("PUT", `visits/${visit}/${kind}`, file);
}

async function take(kind, file, largest, show) {
  const said = get(`${kind}-said`);
  chosen[kind] = false;
  try {
    show(await send(kind, file, largest, said));
    chosen[kind] = true;
  } catch (error) {
    said.textContent = "";
    throw error;
  } finally {
    listeners.forEach((each) => each());
  }
}

async function takePortrait(file) {
  const shown = get("portrait-shown");
  shown.hidden = true;
  get("portrait-none").hidden = false;
  await take("portrait", file, "portraitBytes", (taken) => {
    shown.src = taken.shown;
    shown.hidden = false;
    get("portrait-none").hidden = true;
    get("portrait-said").textContent = `${taken.width} × ${taken.height} pixels; models are given the square`;
  });
}

async function takeSpeech(file) {
  const heard = get("speech-heard");
  heard.hidden = true;
  await take("speech", file, "speechBytes", (taken) => {
    chosen.seconds = taken.seconds;
    if (heard.src) URL.revokeObjectURL(heard.src);
    heard.src = URL.createObjectURL(file);
    heard.hidden = false;
    get("speech-said").textContent = `${duration(taken.seconds)} of sound`;
  });
}

let recorder = null;

async function record() {
  const button = get("record");
  if (recorder) {
    recorder.stop();
    return;
  }
  if (!navigator.mediaDevices) {
    throw new Error("the browser gives the microphone to pages of this machine and of https alone; choose a file");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch (error) {
    throw new Error(`the microphone cannot be used (${error.message}); choose a file`);
  }
  const pieces = [];
  recorder = new MediaRecorder(stream);
  recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
  recorder.addEventListener("stop", guarded(async () => {
    const kind = recorder.mimeType;
    recorder = null;
    stream.getTracks().forEach((track) => track.stop());
    button.textContent = "Record with the microphone";
    button.setAttribute("aria-pressed", "false");
    await takeSpeech(new File(pieces, "recording", { type: kind }));
  }));
  recorder.start();
  button.textContent = "Stop recording";
  button.setAttribute("aria-pressed", "true");
}

export function setUp() {
  const form = new ModelForm(get("generate-model"), "Model");
  const making = new Making([new Result(get("generate-result"), { hasDownload: true })], get("generate-cancel"));
  const fromFile = (take) => guarded(async (event) => {
    const [file] = event.target.files;
    if (file) await take(file);
  });
  get("portrait").addEventListener("change", fromFile(takePortrait));
  get("speech").addEventListener("change", fromFile(takeSpeech));
  get("record").addEventListener("click", guarded(record));
  get("generate-form").addEventListener("submit", guarded(() => making.start([form.asked(common())])));
  return form;
}
