with touched as (
    select n_zero_state, n_zero_action, in_contact,
        len(list_filter(contacts, lambda c: 'box' in [c.geom1, c.geom2] and (c.geom1 || c.geom2) like '%finger%')) > 0
            as finger_on_cube
    from steps
    where env = 'PandaPickCube' and finite
)

select
    finger_on_cube,
    count(*) as steps,
    round(100.0 * avg(in_contact::integer), 1) as pct_any_contact,
    round(100.0 * avg(n_zero_state) / (38 * 38), 1) as pct_zero_state,
    round(100.0 * avg(n_zero_action) / (38 * 8), 1) as pct_zero_action
from touched
group by finger_on_cube
order by finger_on_cube
