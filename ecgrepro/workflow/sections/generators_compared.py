def compute(run, **k):
    raise NotImplementedError
