"""Work that is not done twice: results of models by the content of their calls, in this process or in Redis."""
