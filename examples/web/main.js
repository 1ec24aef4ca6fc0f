// Signs the user in with Supabase, and shows the chat.

/** @import { OpenAIChatKit } from "@openai/chatkit" */

import { createClient } from "@supabase/supabase-js";
import { configureChat } from "./chat.js";
import { config } from "./config.js";

const SESSION_KEY = "chatkit-session";

const chatkit = /** @type {OpenAIChatKit} */ (element("openai-chatkit"));
const signIn = /** @type {HTMLFormElement} */ (element("#sign-in"));
const supabase = createClient(config.supabaseUrl, config.supabasePublishableKey);

signIn.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(signIn);
  const { error } = await supabase.auth.signInWithPassword({
    email: String(form.get("email")),
    password: String(form.get("password")),
  });
  if (error) return showError(error.message);
  showChat();
});

const { data } = await supabase.auth.getSession();
if (data.session) {
  showChat();
} else {
  signIn.hidden = false;
}

function showChat() {
  signIn.hidden = true;
  chatkit.hidden = false;
  showError("");
  // The element can be configured after the script of ChatKit.js has defined it.
  const configured = customElements.whenDefined("openai-chatkit").then(() =>
    configureChat(chatkit, {
      baseUrl: config.baseUrl,
      agentId: config.agentId,
      getAccessToken,
      tools: new Map([["show_invoice", showInvoice]]),
      showError,
      sessionId: sessionStorage.getItem(SESSION_KEY) ?? undefined,
      onSession: ({ id }) => sessionStorage.setItem(SESSION_KEY, id),
    }),
  );
  configured.catch((error) => showError(error.message));
}

/** @param {boolean} fresh */
async function getAccessToken(fresh) {
  const { auth } = supabase;
  const { data, error } = await (fresh ? auth.refreshSession() : auth.getSession());
  if (error) throw error;
  if (!data.session) throw new Error("You are signed out. Sign in again.");
  return data.session.access_token;
}

/** @param {Record<string, unknown>} params */
function showInvoice({ invoice }) {
  element("#invoice").textContent = `Invoice ${invoice}`;
  return { shown: true };
}

/** @param {string} message */
function showError(message) {
  const alert = element("#error");
  alert.textContent = message;
  alert.hidden = !message;
}

/**
 * @param {string} selector
 * @returns {HTMLElement}
 */
function element(selector) {
  const found = document.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`The page does not contain ${selector}.`);
  return found;
}
