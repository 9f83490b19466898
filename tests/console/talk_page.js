// The page of the test: what happens is written down, and the test says what to do.
import { Conversation } from "/static/realtime.js";

const events = [];
window.events = events;
window.talk = async (url, ticket, options) => {
  const conversation = new Conversation(url, ticket, options);
  window.conversation = conversation;
  const kinds = ["hello", "state", "transcript", "heard", "clear", "cut", "phase", "observation", "progress"];
  for (const kind of [...kinds, "ended", "closed"]) {
    conversation.addEventListener(kind, ({ detail }) => events.push(detail));
  }
  await conversation.connect();
};
window.speak = () =>
  window.conversation.openMicrophone({
    channelCount: 1,
    echoCancellation: false, // what is spoken here is a code, and no voice
    noiseSuppression: false,
    autoGainControl: false,
  });
