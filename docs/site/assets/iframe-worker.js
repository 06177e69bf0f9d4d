// Pages that are read from the disk may start no worker: what the search runs in one runs in a hidden frame then.
// A part of the Worker interface: what Material's search asks of it.
if (location.protocol === "file:") {
  const load = (place, url) =>
    new Promise((resolve, reject) => {
      const script = place.document.createElement("script")
      script.src = url
      script.onload = resolve
      script.onerror = () => reject(new Error(`cannot load ${url}`))
      place.document.head.append(script)
    })

  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.append(this.frame)
      this.inside = this.frame.contentWindow
      // As in a worker: a message goes out, and scripts are loaded one after the other.
      this.inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      this.inside.importScripts = (...urls) =>
        urls.reduce((before, each) => before.then(() => load(this.inside, each)), Promise.resolve())
      this.loaded = load(this.inside, String(url))
    }

    postMessage(data) {
      this.loaded.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
    }

    terminate() {
      this.frame.remove()
    }
  }
}
