// A dialog that says what will happen and sends nothing without a reason.

import { html } from "./html.js";
import { useEffect, useRef, useState } from "./hooks.js";
import { Problem } from "./api.js";

const LONGEST_REASON = 300;

// `onSend` gets the reason and sends it; the Problem that it throws is shown, and the reason is kept. `children` stand
// above the reason; `first` is what has the focus at first, the reason unless it is given. While `blocked` nothing can
// be sent.
export function ReasonDialog({ title, label, tone, first, blocked, onSend, onClose, children }) {
  const dialog = useRef(null), field = useRef(null);
  const [reason, setReason] = useState("");
  const [state, setState] = useState({ sending: false, problem: "" });
  useEffect(() => {
    dialog.current.showModal();
    (first ?? field).current.focus();
  }, []);

  async function send(event) {
    event.preventDefault();
    const text = reason.trim();
    if (!text) {
      setState({ sending: false, problem: "Say why: the reason is required." });
      field.current.focus();
      return;
    }
    setState({ sending: true, problem: "" });
    try {
      await onSend(text);
      dialog.current.close();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setState({ sending: false, problem: error.message });
    }
  }

  return html`
    <dialog ref=${dialog} class="tell" aria-labelledby="tell-title" onClose=${onClose}>
      <form onSubmit=${send} novalidate>
        <h2 id="tell-title">${title}</h2>
        ${children}
        <label for="tell-reason">Why? <span class="soft">Everybody reads it: in the story, the status and the record.</span></label>
        <textarea id="tell-reason" ref=${field} rows="3" maxlength=${LONGEST_REASON} required aria-describedby="tell-problem"
          aria-invalid=${state.problem ? "true" : null} value=${reason} onInput=${(event) => setReason(event.target.value)}></textarea>
        <p id="tell-problem" class="problem" role="alert">${state.problem}</p>
        <div class="buttons">
          <button type="button" class="verb" onClick=${() => dialog.current.close()}>Leave it</button>
          <button type="submit" class="verb solid ${tone}" disabled=${state.sending || blocked}>${state.sending ? "Sending" : label}</button>
        </div>
      </form>
    </dialog>`;
}
