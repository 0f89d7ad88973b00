from matplotlib.figure import Figure


def csc_figure(c): return Figure()
