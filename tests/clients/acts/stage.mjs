// What both TypeScript drivers have in common; see stage.py. `play` gives what differs between the SDKs.
import process from "node:process";

const ACT_TIMEOUT_MS = 15_000;
const CANCEL_TIMEOUT_MS = 5_000;
export const { MCP_URL: URL_, MCP_MODE: MODE = "auto", MCP_SUBJECT: SUBJECT, MCP_CHANGE: CHANGE } = process.env;
export const headers = { Authorization: `Bearer ${process.env.MCP_TOKEN}` };

export const textOf = (result) => (result.content ?? []).map((item) => item.text ?? "").join(" ");
const pause = (ms) => new Promise((go) => setTimeout(go, ms));

async function bounded(act) {
  let timer;
  const late = new Promise((go) => (timer = setTimeout(() => go([false, "HANGS"]), ACT_TIMEOUT_MS)));
  try {
    return await Promise.race([act(), late]);
  } catch (error) {
    return [false, `${error.name}: ${error.message}`];
  } finally {
    clearTimeout(timer);
  }
}

export async function perform({ name, version, list, call, subscription }) {
  const acts = {
    list: async () => {
      const names = (await list()).map((tool) => tool.name);
      return [names.includes("echo"), names.join(" ")];
    },
    call: async () => {
      const said = textOf(await call("echo", { message: "hi" }));
      return [said.includes("hi"), said];
    },
    progress: async () => {
      const steps = [];
      const onprogress = ({ progress }) => steps.push(progress);
      const said = textOf(await call("progress", { steps: 3, delay_s: 0.05 }, { onprogress }));
      return [steps.join() === "1,2,3" && said.includes("3 steps"), `${steps} ${said}`];
    },
    error: async () => {
      const result = await call("fail", { message: "on purpose" });
      return [result.isError === true && textOf(result).includes("on purpose"), textOf(result)];
    },
    elicitation: async () => {
      const said = textOf(await call("ask", { question: "Who?" }));
      return [said.includes("Ada"), said];
    },
    sampling: async () => {
      const said = textOf(await call("sample", { prompt: "Capital?" }));
      return [said.includes("Paris"), said];
    },
    subscription,
    cancellation: () => cancelled(call, `${name}-${MODE}-${process.pid}`),
  };
  const seen = {};
  for (const [act, play] of Object.entries(acts)) {
    const [well, said] = await bounded(play);
    seen[act] = { well, said: String(said).slice(0, 500) };
  }
  console.log(JSON.stringify({ acts: seen, version: String(version()) }));
}

async function witness(call, what) {
  return JSON.parse(textOf(await call("witness", {})))[what];
}

async function cancelled(call, tag) {
  const leaving = new AbortController();
  let ended = "";
  const running = call("slow", { seconds: 30, tag }, { signal: leaving.signal }).then(
    (result) => (ended = textOf(result)),
    (error) => (ended = String(error)),
  );
  while (!(await witness(call, "started")).includes(tag)) {
    if (ended) return [false, `ended by itself: ${ended}`];
    await pause(50);
  }
  leaving.abort("enough");
  await running;
  for (const until = Date.now() + CANCEL_TIMEOUT_MS; Date.now() < until; await pause(50)) {
    if ((await witness(call, "cancelled")).includes(tag)) return [true, "the server heard of it"];
  }
  return [false, "the server never heard of it"];
}
