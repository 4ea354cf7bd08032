// Resource Manager's events about the gallery's resource group. Azure allows one system topic for each resource group.

@description('Name of the system topic. If the resource group has one already, its name: it is then kept as it is.')
param topicName string

@description('The resource group has a system topic of this name, with a system-assigned identity.')
param exists bool

param tags object

@description('Name of the alert on events that Event Grid gave up on, which lies beside the topic whose metric it watches.')
param alertName string

@description('Resource id of the action group that is told; empty for none.')
param actionGroupId string

resource made 'Microsoft.EventGrid/systemTopics@2025-02-15' = if (!exists) {
  name: topicName
  location: 'global'
  tags: tags
  identity: { type: 'SystemAssigned' }
  properties: {
    source: resourceGroup().id
    topicType: 'Microsoft.Resources.ResourceGroups'
  }
}

resource found 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = if (exists) {
  name: topicName
}

resource alert 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: alertName
  location: 'global'
  tags: tags
  properties: {
    description: 'An image event could not be delivered. The sweep starts its rollout; the app was unreachable for long.'
    severity: 2
    enabled: true
    scopes: [exists ? found.id : made.id]
    evaluationFrequency: 'PT15M'
    windowSize: 'PT1H'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'dead-lettered'
          metricName: 'DeadLetteredCount'
          operator: 'GreaterThan'
          threshold: 0
          timeAggregation: 'Total'
        }
      ]
    }
    actions: empty(actionGroupId) ? [] : [{ actionGroupId: actionGroupId }]
  }
}

output id string = exists ? found.id : made.id
output name string = topicName
output principalId string = exists ? found!.identity!.principalId : made!.identity!.principalId
