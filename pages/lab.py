"""The live lab: move a slider, and a head is trained anew while everybody watches."""

from covidviz.ui import lab_page

lab_page.body()
