"""This machine: devices, queue, disk, versions."""

from covidviz.ui import system_page

system_page.body()
