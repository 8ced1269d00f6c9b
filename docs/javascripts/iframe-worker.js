/* Runs the search of pages that are opened from the disk: browsers start no Worker from file: URLs. The worker's
   script runs in a hidden frame instead. The theme would fetch a script for this from a public server. */
class IFrameWorker extends EventTarget {
  constructor(url) {
    super()
    this.waiting = []
    const frame = document.createElement("iframe")
    frame.hidden = true
    document.body.append(frame)
    this.scope = frame.contentWindow
    this.scope.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
    const script = frame.contentDocument.createElement("script")
    script.onload = () => {
      this.ready = true
      this.waiting.splice(0).forEach(data => this.postMessage(data))
    }
    script.src = url
    frame.contentDocument.body.append(script)
  }

  postMessage(data) {
    if (this.ready) this.scope.dispatchEvent(new MessageEvent("message", { data }))
    else this.waiting.push(data)
  }
}

if (location.protocol === "file:") {
  window.IFrameWorker = IFrameWorker
  window.Worker = IFrameWorker
}
