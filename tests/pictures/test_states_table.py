import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.table import Table
from test_table_text import RACING, VALUES, Q

from rlrun.pictures.colours import END, UNKNOWN
from rlrun.pictures.sheet import pixels
from rlrun.pictures.states_table import table_figure
from rlrun.types import Float64Array


def cells(figure: Figure) -> Table:
    axes, *_ = figure.axes
    (table,) = axes.tables
    return table


def texts(table: Table) -> list[list[str]]:
    rows, columns = (max(place[axis] for place in table.get_celld()) + 1 for axis in (0, 1))
    return [[table[row, column].get_text().get_text() for column in range(columns)] for row in range(rows)]


def drawn(values: Float64Array, q: Float64Array) -> Table:
    figure = table_figure(RACING, values, q, "racing")
    assert pixels(figure).ndim == 3
    return cells(figure)


def test_the_racing_car() -> None:
    table = drawn(VALUES, Q)
    assert texts(table) == [
        ["state", "V", "slow", "fast"],
        ["cool", "3.50", "2.75", "3.50*"],
        ["warm", "2.50", "2.50*", "-10.00"],
        ["overheated", "0.00", "-", "-"],
    ]
    bold = [place for place, cell in table.get_celld().items() if cell.get_text().get_fontweight() == "bold"]
    assert bold == [(1, 3), (2, 2)]


def test_cells_are_coloured_by_their_values() -> None:
    table = drawn(VALUES, Q)
    lowest, zero = (np.array(table[place].get_facecolor()) for place in ((2, 3), (3, 1)))
    assert lowest[2] > lowest[0]  # purple
    assert zero[:3].min() > 0.94
    assert table[3, 2].get_facecolor() == to_rgba(END)  # illegal
    assert table[1, 0].get_facecolor() == to_rgba("white")  # a name


def test_unknown_values_are_grey_and_unknown_columns_left_out() -> None:
    table = drawn(np.array([np.inf, 1.0, np.nan]), np.array([[np.nan, np.inf], [1.0, -np.inf], [0.0, 0.0]]))
    assert texts(table)[1] == ["cool", "inf", "nan", "inf*"]
    assert table[1, 1].get_facecolor() == to_rgba(UNKNOWN)
    assert texts(drawn(VALUES, np.full_like(Q, np.nan))) == [
        ["state", "V"],
        ["cool", "3.50"],
        ["warm", "2.50"],
        ["overheated", "0.00"],
    ]
