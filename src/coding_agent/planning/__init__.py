"""From what is wrong to what to do: diagnosis, and plans by rules or by a model."""
