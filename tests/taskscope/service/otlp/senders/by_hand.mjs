// An agent in JavaScript that knows no SDK: JSON by hand, over the fetch of the runtime.
const start = 1_763_720_000_000_000_000n;
const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
const text = (key, value) => ({ key, value: { stringValue: value } });
const number = (key, value) => ({ key, value: { intValue: value } });
const span = (id, parent, name, attributes, more = {}) => ({
  traceId: trace,
  spanId: id.repeat(16),
  parentSpanId: parent && parent.repeat(16),
  name,
  kind: 1,
  startTimeUnixNano: String(start),
  endTimeUnixNano: String(start + 3_000_000_000n),
  attributes,
  ...more,
});
const spans = [
  span("b", "a", "chat gpt", [
    text("gen_ai.operation.name", "chat"),
    number("gen_ai.usage.input_tokens", 7),
    number("gen_ai.usage.output_tokens", 5),
  ]),
  span(
    "a",
    undefined,
    "invoke_workflow release",
    [text("gen_ai.operation.name", "invoke_workflow"), text("taskscope.task.id", "release-7"), text("taskscope.task.kind", "release")],
    { status: { code: 2, message: "the tag is taken" } },
  ),
];
const answer = await fetch(`${process.argv[2]}/v1/traces`, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] }),
});
if (answer.status !== 200) throw new Error(await answer.text());
