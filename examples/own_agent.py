"""Your own agent, observed: run it, then `taskscope show`."""

import taskscope


@taskscope.tool("search")
def search(text: str) -> str:
    """Find a passage."""
    return f"README.md speaks of {text}"


@taskscope.llm("echo-1", provider="local")
def ask(question: str, passage: str) -> str:
    """Ask the model, and record what it says it used; to `echo-1` a token is a word."""
    taskscope.record_usage(input_tokens=len(f"{question} {passage}".split()), output_tokens=2)
    return f"{passage}, so: yes"


if __name__ == "__main__":
    taskscope.configure()
    with taskscope.task("answer") as task, taskscope.agent("helper"):
        with taskscope.step("search"):
            found = search("coffee")
        with taskscope.step("ask"):
            print(ask("Is there coffee?", found))
    taskscope.shutdown(timeout=2)
    print(f"recorded: taskscope show {task.id}")
