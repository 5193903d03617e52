def as_published(run, *a):
    raise NotImplementedError


def draw_trials(run, *a):
    raise NotImplementedError
