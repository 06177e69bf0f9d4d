// A video that plays while it is written. Given as an address, browsers wait for more of it than a small one ever has:
// its pieces are handed over as they come.

const AAC = "mp4a.40.2";

// The name of an mp4's codecs, from the profile in its header; null before that is there.
function kind(bytes) {
  const found = bytes.findIndex((_, at) => bytes[at] === 0x61 && bytes[at + 1] === 0x76 && bytes[at + 2] === 0x63 && bytes[at + 3] === 0x43);
  if (found < 0 || found + 8 > bytes.length) return null;
  const profile = [...bytes.slice(found + 5, found + 8)].map((each) => each.toString(16).padStart(2, "0")).join("");
  return `video/mp4; codecs="avc1.${profile}, ${AAC}"`;
}

const joined = (one, other) => {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
};

// Puts what comes from an address into a video, until it ends or the signal says so.
export async function playGrowing(video, address, signal) {
  if (!window.MediaSource) {
    video.src = address;
    return;
  }
  const source = new MediaSource();
  video.src = URL.createObjectURL(source);
  await new Promise((resolve) => source.addEventListener("sourceopen", resolve, { once: true }));
  URL.revokeObjectURL(video.src);
  const reader = (await fetch(address, { signal })).body.getReader();
  let buffer = null, held = new Uint8Array();
  for (;;) {
    const { done, value } = await reader.read();
    if (value) held = joined(held, value);
    if (!buffer && kind(held)) buffer = source.addSourceBuffer(kind(held));
    if (source.readyState !== "open") return;
    if (buffer && held.length) {
      buffer.appendBuffer(held);
      held = new Uint8Array();
      await new Promise((resolve) => buffer.addEventListener("updateend", resolve, { once: true }));
    }
    if (done) break;
  }
  if (source.readyState === "open") source.endOfStream();
}
