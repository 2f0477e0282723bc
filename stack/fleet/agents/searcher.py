"""An agent that asks many questions at once, each of which needs a vector: `searcher.py QUESTIONS`.

The embedder stands where OPENAI_BASE_URL says; how long it takes is how long the retrieval takes.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import openai

import taskscope


@taskscope.retrieval("docs")
def search(question: str) -> None:
    """Ask the embedder."""
    with openai.OpenAI() as client:
        client.embeddings.create(model="fleet-embedder", input=question)


taskscope.configure()
questions = [f"question {number}" for number in range(int(sys.argv[1]))]
with taskscope.task("research") as task, ThreadPoolExecutor(len(questions)) as pool:
    list(pool.map(search, questions))
taskscope.shutdown(timeout=5)
sys.stdout.write(json.dumps({"task_id": task.id}) + "\n")
