"""Room four: figures; each draws what the other rooms computed, beside a function that says it in words.

``plot_…`` (``draw_architecture`` for Figure 1) returns what it drew on, ``alt_…`` the alt text from the same values.

- ``architecture``: Figure 1, drawn from the network itself
- ``cohort_figures``, ``view_figures``: who is in the cohort, and its views by class
- ``measure_figures``: a vector of measures by class
- ``learning_figures``: training curves, and classification beside others and Table III
- ``map_figures``: Figures 2 to 4, maps of sample subjects and of a class, and their histogram
- ``circle``, ``brain``: Figures 5 and 6, selected connections on a circle and on the glass brain
- ``interactive_brain``, ``brain_page``: Figure 6 to turn, a page that needs no network
- ``snp_figures``, ``pathway_figures``: maps along the SNPs, enriched gene sets
- ``published_pathway_figures``: the paper's own enriched gene sets, tested anew
- ``evidence_figures``, ``result_figure``: the scorecard, and the title page's figure
- ``trust_figures``, ``perturbation_figures``: whether maps need what was learnt, are stable, and name what counts
- ``publishing``, ``alt_text``: how a figure is shown and saved, and its alt text kept in the book
- ``style``, ``labels``, ``matrix``, ``connections``, ``panels``: what these share
"""
