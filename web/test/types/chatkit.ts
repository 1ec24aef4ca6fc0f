// Compiled only: ChatKit accepts the options of this package.

import type { ChatKitOptions, OpenAIChatKit } from "@openai/chatkit";
import { useChatKit } from "@openai/chatkit-react";
import {
  chatkitOptions,
  connectChatKit,
  type ChatHandlers,
  type ChatKitConnection,
  type ChatOptions,
} from "../../src/core/index.js";

export async function configure(chat: OpenAIChatKit, connection: ChatKitConnection) {
  const options: ChatKitOptions = await chatkitOptions(connection);
  chat.setOptions(options);
}

export async function follow(chat: OpenAIChatKit, connection: ChatKitConnection) {
  const end: () => void = await connectChatKit(chat, connection);
  const changed: ChatKitOptions = connection.session.chatOptions;
  chat.setOptions(changed);
  return end;
}

export function useSession(options: ChatOptions & ChatHandlers) {
  return useChatKit(options);
}

export async function change(chat: OpenAIChatKit, connection: ChatKitConnection) {
  const options = await connection.session.connect();
  // @ts-expect-error -- ChatKit does not accept a number as its secret.
  chat.setOptions({ ...options, api: { getClientSecret: () => Promise.resolve(1) } });
}
